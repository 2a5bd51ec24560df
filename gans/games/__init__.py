"""Games: who plays against whom. One file a game."""
