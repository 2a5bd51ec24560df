"""Networks: flax.linen modules made of `gans.models.layers`. One file an architecture."""
