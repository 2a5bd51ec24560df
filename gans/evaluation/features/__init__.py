"""Frozen networks through which metrics look at images. One file a network."""
