"""A trained generator as a file that jax alone can run, without this package.

    import json, zipfile
    from jax import export

    with zipfile.ZipFile("generator.zip") as file:
        generator = export.deserialize(bytearray(file.read("generator.jaxexport")))
        about = json.loads(file.read("about.json"))
    images = generator.call(latent)

`about.json` says what the generator takes and gives, and holds the config it was trained with.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import export as jax_export

from gans.config import schema
from gans.core.pixels import to_float, to_uint8
from gans.core.types import Latent
from gans.errors import UserError
from gans.files import paths
from gans.files.writing import atomic
from gans.inference import sampling, translating
from gans.runs import run_folder

PLATFORMS = ("cpu", "cuda", "tpu")


class Exported(NamedTuple):
    """A generator outside of its run.

    Attributes:
      program: serialized by `jax.export`, its parameters inside.
      about: JSON values: `takes`, `gives`, `classes`, `step` and `config`.
    """

    program: bytes
    about: dict[str, Any]


def export(
    workdir: str | Path, *, direction: str | None = None, step: run_folder.Step = None
) -> Exported:
    """Exports a generator for any number of images, on any of `PLATFORMS`.

    Args:
      workdir: the folder given to training.
      direction: as the game calls it, "a_to_b" or "b_to_a" of a CycleGAN; None for a generator
        that makes images of latent vectors.
      step: of the checkpoint; the newest if None.

    Raises:
      UserError: there is no run or no such checkpoint, or the direction is none of the run's.
    """
    workdir = paths.expanded(workdir)
    made = run_folder.experiment(workdir)
    makes = made.game.makes
    is_latent = isinstance(makes, Latent)
    if is_latent and direction is not None:
        raise UserError("This generator makes images of noise and has no direction.")
    if not is_latent and direction is None:
        raise UserError(f"This run translates images: choose the direction {' or '.join(makes)}.")
    if is_latent:
        function, takes, about = _of_latents(sampling.load(workdir, step=step))
    else:
        function, takes, about = _of_images(
            translating.load(workdir, direction=direction, step=step)
        )
    program = jax_export.export(jax.jit(function), platforms=PLATFORMS)(*takes)
    gives = [f"{x.dtype.name} [{', '.join(map(str, x.shape))}]" for x in program.out_avals]
    config = schema.to_plain(made.config)
    return Exported(program.serialize(), about | {"gives": gives, "config": config})


def save(path: str | Path, exported: Exported) -> None:
    """Writes the zip file that the module's docstring reads."""
    with atomic(paths.expanded(path)) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr("generator.jaxexport", exported.program)
        archive.writestr("about.json", json.dumps(exported.about, indent=2))


_Function = tuple[Callable[..., jax.Array], list[jax.ShapeDtypeStruct], dict[str, Any]]


def _of_latents(sampler: sampling.Sampler) -> _Function:
    """What `sampling.render` does, of a latent and, if there are classes, a one-hot label."""
    widths = {"latent (normal)": sampler.latent_dim}
    if sampler.classes:
        widths["label (one-hot)"] = len(sampler.classes)
    (n,) = jax_export.symbolic_shape("n")
    takes = [jax.ShapeDtypeStruct((n, width), jnp.float32) for width in widths.values()]
    about = {
        "takes": [f"{name}: float32 [n, {width}]" for name, width in widths.items()],
        "classes": sampler.classes,
        "step": sampler.step,
    }

    def generate(latent: jax.Array, label: jax.Array | None = None) -> jax.Array:
        return sampling.render(sampler.net, latent, label)

    return generate, takes, about


def _of_images(translator: translating.Translator) -> _Function:
    """What translates one tile, of uint8 images; its norms use the moments of each image."""
    if translator.whole:
        size = f"{translator.tile}, {translator.tile}"
    else:
        size = f"{translator.multiple}*h, {translator.multiple}*w"
    shape = f"n, {size}, {translator.channels}"
    symbols = jax_export.symbolic_shape(shape, constraints=() if translator.whole else _AT_LEAST)
    about = {"takes": [f"image: uint8 [{shape}]"], "classes": (), "step": translator.step}

    def generate(image: jax.Array) -> jax.Array:
        return to_uint8(translator.net(to_float(image), train=False)[0])

    return generate, [jax.ShapeDtypeStruct(symbols, jnp.uint8)], about


# What the mirrored borders need; symbolic sizes are otherwise taken to be 1 as well.
_AT_LEAST = ("h >= 2", "w >= 2")
