"""PyTorch's side: the same networks, losses, optimizers and order of steps, written plainly."""

from gans.errors import UserError

try:
    import torch  # noqa: F401
except ImportError:
    raise UserError(
        'PyTorch is needed to compare with it: python -m pip install -e ".[benchmark]".'
    ) from None
