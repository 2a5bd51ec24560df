"""Data sources: each module loads one kind of data set as a `Source`."""
