"""From a config to the objects that it names, and everything that may be wrong with one.

`build` makes what a config names, `schema` says which fields there are and `ranges` which numbers
they may have. Nothing here reads or writes a run.
"""
