"""A run folder: config, facts about the data, checkpoints, record, pictures.

Everything that a run leaves on disk is written and read back here, and nowhere else. Nothing here
trains, samples or evaluates.
"""
