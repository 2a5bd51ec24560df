"""Pictures and archives on disk: which there are, which are good, and how they become arrays."""
