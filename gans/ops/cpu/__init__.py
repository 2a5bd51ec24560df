"""Forms of convolutions that are faster on a CPU than XLA's own.

They compute the same sums in another order, so results differ by rounding alone. Everywhere but on
a CPU the programs are XLA's convolutions with either setting.

The environment variable `GANS_CPU_KERNELS=0`, read when this package is imported, replaces them by
XLA's own: `gans.ops.convolution` is then `jax.lax.conv_general_dilated` with the derivative that
JAX knows, `gans.ops.upsample` convolves the enlarged image of the definition, and
`gans.ops.pooling` pools what it has convolved, on every platform. Normalisation has no form of the
CPU's own. Where a result is in doubt, this tells whether a form is to blame; and it gives the time
that the forms save.
"""

import os

ENABLED = os.environ.get("GANS_CPU_KERNELS", "1") != "0"
"""Whether the forms are in use. Read while a function is traced, not each time it runs."""
