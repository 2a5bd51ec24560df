"""What is timed: a task of a config, and the ones that go by a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from gans.errors import UserError


@dataclasses.dataclass(frozen=True)
class Case:
    """Something to time. Plain data, to be sent to other processes.

    Attributes:
      name: in tables.
      task: "train", "sample", "translate" or "evaluate".
      config: of the experiment, references resolved.
      fields: of the task: `num` images to sample; `height` and `width` of the picture to
        translate.
    """

    name: str
    task: str
    config: Mapping[str, Any]
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def read_config(self) -> ConfigDict:
        """The config as training gets it."""
        return ConfigDict(dict(self.config))

    @property
    def images(self) -> int:
        """How many images one iteration of the task makes or learns from, of each domain."""
        if self.task == "train":
            return self.config["data"]["batch_size"]
        if self.task == "evaluate":
            quality = self.config["evaluators"]["quality"]
            return quality["num_fake"] if "num_fake" in quality else quality["num"]
        return self.fields.get("num", 1)


def make(name: str, task: str, config: ConfigDict, changes: Mapping[str, Any]) -> Case:
    """A case of a config with some changes: fields by their paths, or fields of the task.

    A change to None leaves a field or a section out.

    Raises:
      UserError: the networks of the config have no such task.
    """
    needed = _NEEDED.get(task, "")
    if needed and needed not in config.nets:
        raise UserError(f"{name}: --task={task} is for networks that the config has not.")
    config = config.copy_and_resolve_references()
    absent = [path for path, x in changes.items() if x is None]
    given = {path: x for path, x in changes.items() if x is not None}
    config.update_from_flattened_dict({path: x for path, x in given.items() if "." in path})
    with config.unlocked():
        for path in absent:
            _leave_out(config, path)
    fields = DEFAULTS[task] | {path: x for path, x in given.items() if "." not in path}
    return Case(name, task, config.to_dict(), fields)


def _leave_out(config: ConfigDict, path: str) -> None:
    *sections, field = path.split(".")
    for section in sections:
        config = config[section]
    del config[field]


# Two megapixels, both sides multiples of 4.
PHOTOGRAPH = {"height": 1224, "width": 1632}
DEFAULTS = {"train": {}, "sample": {"num": 10_000}, "translate": PHOTOGRAPH, "evaluate": {}}
TASKS = tuple(DEFAULTS)
_NEEDED = {"sample": "generator", "translate": "generator_ab"}


class Named(NamedTuple):
    """A case that goes by a name: a task of `configs/<config>.py` with changes."""

    task: str
    config: str
    changes: Mapping[str, Any]


def _square(size: int) -> dict[str, int]:
    """Images of another size, cropped from larger ones in the proportion of the configs."""
    return {"data.image_size": size, "data.load_size": round(size * 286 / 256)}


_RESNET, _UNET = "cyclegan_monet2photo_resnet", "cyclegan_monet2photo"
# A U-Net halves its images to a single pixel: 128 pixels take one halving less than 256.
_OF_128 = {f"nets.generator_{way}.features": (64, 128, 256, *[512] * 4) for way in ("ab", "ba")}

# Narrow, and without the schedules that PyTorch's side does not have.
_RESIDUAL = {
    "data.batch_size": 64,
    "game.discriminator_steps": 2,
    "game.generator_batch": 32,
    "nets.generator.stem_features": 64,
    "nets.generator.features": (64, 64, 64),
    "nets.discriminator.features": (64, 64, 64, 64),
    **{f"optim.{net}.schedule": "constant" for net in ("generator", "discriminator")},
}
_R3GAN = {
    "data.batch_size": 64,
    "augment": None,
    "loss.schedule": None,
    **{
        f"nets.{net}.{field}": value
        for net in ("generator", "discriminator")
        for field, value in (("features", 64), ("dtype", "float32"))
    },
    **{f"optim.{net}.schedules": None for net in ("generator", "discriminator")},
}

NAMED = {
    "dcgan-32": Named("train", "dcgan_cifar10", {"data.batch_size": 32}),
    "dcgan-64": Named("train", "dcgan_cifar10", {"data.batch_size": 64}),
    "cgan-32": Named("train", "cgan_cifar10", {"data.batch_size": 32}),
    "cgan-64": Named("train", "cgan_cifar10", {"data.batch_size": 64}),
    "cgan-narrow": Named("train", "cgan_cifar10_narrow", {}),
    # One step, because an image whose logit is near the hinge's edge is on either side of it when
    # rounding has gone through several.
    "sngan-small": Named("train", "sngan_cifar10", _RESIDUAL | {"game.discriminator_steps": 1}),
    "wgangp-small": Named("train", "wgangp_cifar10", _RESIDUAL),
    "r3gan-small": Named("train", "r3gan_cifar10", _R3GAN),
    "cyclegan-resnet9-64px": Named("train", _RESNET, _square(64)),
    "cyclegan-resnet9-128px": Named("train", _RESNET, _square(128)),
    "cyclegan-unet-128px": Named("train", _UNET, _square(128) | _OF_128),
    "cyclegan-small": Named("train", "cyclegan_small", {}),
    "sample-dcgan": Named("sample", "dcgan_cifar10", {}),
    "sample-cgan": Named("sample", "cgan_cifar10", {}),
    "translate-2mp": Named("translate", _RESNET, {}),
    "evaluate-digits": Named("evaluate", "dcgan_digits", {}),
}
