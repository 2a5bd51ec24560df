"""Numbers that judge a generator: pure functions of features, logits or pixels.

They raise ValueError, with one sentence, where a number would not mean what its name says. Whoever
calls them knows which images these are of, and tells the user.
"""
