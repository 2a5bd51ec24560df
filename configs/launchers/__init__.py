"""What to ask of batch systems, one file each: `get_config()`."""
