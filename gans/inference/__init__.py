"""What is done with a trained generator: sampling, translating, exporting, weights from elsewhere.

Nothing here trains or measures.
"""
