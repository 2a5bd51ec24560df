"""From a config to PyTorch's networks, losses and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from ml_collections import ConfigDict
from torch import nn

from experiments.studies.benchmark.peers import cyclegan, dcgan
from gans.data.source import DataInfo
from gans.errors import UserError

Criterion = Callable[[torch.Tensor, bool], torch.Tensor]
"""`(logits, real) -> loss`, the discriminator's; a generator's is that of calling its own real."""


def networks(config: ConfigDict, info: DataInfo) -> dict[str, nn.Module]:
    """The counterpart of each network of a config.

    Raises:
      UserError: one has no counterpart.
    """
    return {name: network(spec, config, info) for name, spec in config.nets.items()}


def network(spec: ConfigDict, config: ConfigDict, info: DataInfo) -> nn.Module:
    """The counterpart of one network."""
    fields = {name: value for name, value in spec.items() if name not in ("name", "dtype")}
    channels, labels = info.image_shape[-1], len(info.classes)
    if spec.name == "dcgan.Generator":
        return dcgan.Generator(inputs=config.game.latent_dim + labels, **fields)
    if spec.name == "dcgan.Discriminator":
        size = info.image_shape[0]
        return dcgan.Discriminator(image_size=size, channels=channels, labels=labels, **fields)
    if spec.name == "patchgan.Discriminator":
        return cyclegan.PatchGAN(channels=channels, **fields)
    generators = {
        "resnet.Generator": cyclegan.ResNet,
        "unet.Generator": cyclegan.TutorialUNet,
        "unet.PaperGenerator": cyclegan.PaperUNet,
    }
    if spec.name not in generators:
        raise UserError(
            f"{spec.name} is not written in PyTorch here, so it can be timed but not compared: "
            "leave --against out."
        )
    return generators[spec.name](**fields)


def criterion(name: str) -> Criterion:
    """The adversarial loss of a name.

    Raises:
      UserError: it is not written in PyTorch here.
    """
    losses = {"non_saturating": nn.BCEWithLogitsLoss(), "least_squares": nn.MSELoss()}
    if name not in losses:
        raise UserError(
            f"loss.adversarial={name} is not written in PyTorch here; {', '.join(losses)} are."
        )
    return lambda logits, real: losses[name](logits, torch.full_like(logits, float(real)))


def optimizer(parameters: Iterable[nn.Parameter], spec: ConfigDict) -> torch.optim.Optimizer:
    """The optimizer of a section of `optim`, at its first learning rate.

    Raises:
      UserError: it is none that is written in PyTorch here.
    """
    if spec.ema_decay:
        raise UserError(
            "PyTorch's side keeps no average of parameters: set ema_decay to 0 in optim."
        )
    if spec.schedule == "linear":
        raise UserError("PyTorch's side keeps its learning rate: set schedule to constant.")
    if spec.name not in ("adam", "keras_adam"):
        raise UserError(f"The optimizer {spec.name} is not written in PyTorch here, only Adam is.")
    made = torch.optim.Adam(
        parameters, lr=spec.learning_rate, betas=(spec.b1, spec.b2), eps=spec.eps, fused=True
    )
    if spec.name == "keras_adam":
        made.register_step_pre_hook(_KerasEpsilon(spec.eps, spec.b2))
    return made


class _KerasEpsilon:
    """Gives each step of PyTorch's Adam the epsilon that makes it Keras': see `gans.core.optim`.

    PyTorch adds it to `sqrt(v / (1 - b2^t))`, Keras to `sqrt(v)`.
    """

    def __init__(self, eps: float, b2: float):
        self._eps, self._b2, self._steps = eps, b2, 0

    def __call__(self, made: torch.optim.Optimizer, *_) -> None:
        self._steps += 1
        for group in made.param_groups:
            group["eps"] = self._eps / math.sqrt(1.0 - self._b2**self._steps)
