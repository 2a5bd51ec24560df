"""What one iteration of training is: its types, its state, its update and its optimizers.

Pure functions of arrays and pytrees. Nothing here knows a network, a data set, a file or a device.
"""
