"""Studies that use the library as anybody would: of its speed, and of the theory of GANs."""
