"""Commands: flags, then one call."""
