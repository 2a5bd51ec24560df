"""Operations of layers: convolution, resampling, pooling, normalisation, augmentation.

Pure functions of arrays, right on any processor; `gans.ops.cpu` has the forms that are faster on a
CPU, and the switch that leaves them out. No network and no module of Flax is defined here.
"""
