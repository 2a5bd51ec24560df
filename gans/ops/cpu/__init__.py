"""Forms of the operations that XLA does not find by itself on a CPU, and that are faster there."""
