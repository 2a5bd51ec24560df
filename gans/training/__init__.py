"""Training: the loop, what the host makes of it, several runs at once, and sweeps of runs."""
