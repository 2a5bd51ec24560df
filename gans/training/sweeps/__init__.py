"""Many trainings from one config: which they are, and where each of them runs."""
