"""Networks: flax.linen modules. They import `gans.models.layers` and nothing else of the package."""
