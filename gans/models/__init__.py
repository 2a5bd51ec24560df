"""Networks: flax.linen modules that import `gans.models.layers` and no more of the package."""
