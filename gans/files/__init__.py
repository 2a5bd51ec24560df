"""Files opened, read and written safely: paths, locks, JSON, archives, weights, downloads.

What is read here may come from anywhere, so everything that is wrong with it becomes one sentence.
Nothing here knows a network, a run or a data set.
"""
