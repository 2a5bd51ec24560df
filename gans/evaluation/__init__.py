"""How good a generator is: evaluators, the metrics they compute, the networks they look through.

Nothing here trains a GAN or compares runs.
"""
