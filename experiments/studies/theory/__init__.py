"""The theory behind the losses, where every quantity is known: densities on a line."""
