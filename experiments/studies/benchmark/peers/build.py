"""From a config to PyTorch's networks, losses and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from ml_collections import ConfigDict
from torch import nn
from torch.nn import functional

from experiments.studies.benchmark.peers import cyclegan, dcgan, r3gan, resnet_gan
from gans.data.source import DataInfo
from gans.errors import UserError


class Criterion(NamedTuple):
    """The two sides of an adversarial loss, scalars: see `gans.losses.adversarial.Adversarial`."""

    discriminator: Callable[[torch.Tensor, bool], torch.Tensor]
    generator: Callable[[torch.Tensor], torch.Tensor]


def networks(config: ConfigDict, info: DataInfo) -> dict[str, nn.Module]:
    """The counterpart of each network of a config.

    Raises:
      UserError: one has no counterpart.
    """
    return {name: network(spec, config, info) for name, spec in config.nets.items()}


def network(spec: ConfigDict, config: ConfigDict, info: DataInfo) -> nn.Module:
    """The counterpart of one network."""
    fields = {name: value for name, value in spec.items() if name not in ("name", "dtype")}
    known = {
        "image_size": info.image_shape[0],
        "channels": info.image_shape[-1],
        "classes": len(info.classes),
        "latent_dim": config.game.get("latent_dim"),
    }
    if spec.name not in _NETWORKS:
        raise UserError(
            f"{spec.name} is not written in PyTorch here, so it can be timed but not compared: "
            "leave --against out."
        )
    make, wanted = _NETWORKS[spec.name]
    return make(**{name: known[name] for name in wanted}, **fields)


# What each is made of besides the fields of ours.
_NETWORKS = {
    "dcgan.Generator": (dcgan.Generator, ("latent_dim", "classes")),
    "dcgan.Discriminator": (dcgan.Discriminator, ("image_size", "channels", "classes")),
    "patchgan.Discriminator": (cyclegan.PatchGAN, ("channels",)),
    "resnet.Generator": (cyclegan.ResNet, ()),
    "unet.Generator": (cyclegan.TutorialUNet, ()),
    "unet.PaperGenerator": (cyclegan.PaperUNet, ()),
    "resnet_gan.Generator": (resnet_gan.Generator, ("latent_dim", "classes")),
    "resnet_gan.Discriminator": (resnet_gan.Discriminator, ("channels", "classes")),
    "r3gan.Generator": (r3gan.Generator, ("latent_dim", "classes")),
    "r3gan.Discriminator": (r3gan.Discriminator, ("image_size", "channels", "classes")),
}


def criterion(name: str) -> Criterion:
    """The adversarial loss of a name.

    Raises:
      UserError: it is not written in PyTorch here.
    """
    if name not in _LOSSES:
        raise UserError(
            f"loss.adversarial={name} is not written in PyTorch here; {', '.join(_LOSSES)} are."
        )
    return _LOSSES[name]


def _of_target(loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> Criterion:
    """That of a loss beside 1 and 0, where a generator wants its images called real."""

    def discriminator(logits: torch.Tensor, real: bool) -> torch.Tensor:
        return loss(logits, torch.full_like(logits, float(real)))

    return Criterion(discriminator, lambda logits: discriminator(logits, True))


def _hinge(logits: torch.Tensor, real: bool) -> torch.Tensor:
    return torch.relu(1.0 - logits if real else 1.0 + logits).mean()


def _wasserstein(logits: torch.Tensor, real: bool) -> torch.Tensor:
    return -logits.mean() if real else logits.mean()


def _negative_logit(logits: torch.Tensor) -> torch.Tensor:
    return -logits.mean()


_LOSSES = {
    "non_saturating": _of_target(functional.binary_cross_entropy_with_logits),
    "least_squares": _of_target(functional.mse_loss),
    "hinge": Criterion(_hinge, _negative_logit),
    "wasserstein": Criterion(_wasserstein, _negative_logit),
}


def optimizer(parameters: Iterable[nn.Parameter], spec: ConfigDict) -> torch.optim.Optimizer:
    """The optimizer of a section of `optim`, at its first learning rate.

    Raises:
      UserError: it is none that is written in PyTorch here.
    """
    if spec.ema_decay or spec.get("ema_half_life"):
        raise UserError(
            "PyTorch's side keeps no average of parameters: set ema_decay and ema_half_life to 0 "
            "in optim."
        )
    if spec.schedule == "linear":
        raise UserError("PyTorch's side keeps its learning rate: set schedule to constant.")
    if spec.get("schedules"):
        raise UserError(
            "PyTorch's side keeps the constants of its optimizers: leave schedules out of optim."
        )
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
