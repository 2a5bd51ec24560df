"""How fast training, sampling, translating and evaluating are, alone and beside PyTorch."""
