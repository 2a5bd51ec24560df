"""What a run shows of itself while it trains."""

SIDE = 3000
"""Pixels that the images of a picture take up in width and in height, at most."""
