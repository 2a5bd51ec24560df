"""Random changes to the images that a discriminator sees, differentiable and on the device.

An augmentation is a callable `(images, key, probability) -> images`: float `[B, H, W, C]` in
[-1, 1], a key that is the same on every device, and the probability that it changes an image, a
number or a scalar array in [0, 1]. `gans.games.augmented` puts one into a game.
"""
