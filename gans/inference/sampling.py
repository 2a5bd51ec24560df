"""Images from a trained generator.

import gans
sampler = gans.load("runs/cgan")
images = sampler.sample(10, classes=range(10))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from gans.config import ranges
from gans.core.pixels import to_uint8
from gans.core.state import NetState
from gans.core.types import Latent
from gans.errors import UserError
from gans.files import paths
from gans.runs import run_folder

_BATCH = 256


def latents(seed: int, start: int, count: int, dim: int) -> jax.Array:
    """Normal float32 `[count, dim]`; image `i` of a seed has the same latent in any batch."""
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))
    normal = jax.vmap(lambda key: jax.random.normal(key, (dim,)))
    return normal(keys(jnp.arange(start, start + count)))


@jax.jit
def render(net: NetState, latent: jax.Array, label: jax.Array | None) -> jax.Array:
    """uint8 `[N, H, W, C]` of the generator in inference mode, its averaged parameters if kept.

    Args:
      net: the generator.
      latent: `[N, latent_dim]`.
      label: one-hot `[N, classes]`, or None.
    """
    images, _ = net.averaged()(latent, *(() if label is None else (label,)), train=False)
    return to_uint8(images)


def slerp(a: jax.Array, b: jax.Array, steps: int) -> jax.Array:
    """From `a` to `b` along a great circle, `[steps, dim]`, as White 2016 (arXiv:1609.04468).

    A straight line would pass through vectors shorter than any that training saw.
    """
    cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    t = jnp.linspace(0.0, 1.0, steps)[:, None]
    return (jnp.sin((1 - t) * angle) * a + jnp.sin(t * angle) * b) / jnp.sin(angle)


class Sampler:
    """A generator that is ready to make images.

    Attributes:
      net: the generator.
      latent_dim: length of its latent vectors.
      classes: names of the classes it is conditioned on, or empty.
      image_shape: `(H, W, C)`.
      step: iterations it was trained for.
    """

    def __init__(
        self,
        net: NetState,
        *,
        latent_dim: int,
        classes: tuple[str, ...],
        image_shape: tuple[int, int, int],
        step: int,
    ):
        self.net, self.latent_dim, self.step = net, latent_dim, step
        self.classes, self.image_shape = classes, image_shape

    def sample(
        self, num: int, *, seed: int = 0, classes: Sequence[int | str] | None = None
    ) -> np.ndarray:
        """uint8 `[num, H, W, C]`; the same seed gives the same images.

        Args:
          num: how many.
          seed: of the latent vectors, from 0 to 2^32 - 1.
          classes: names or numbers, repeated in turn; all classes if None. Only for a
            conditional generator.

        Raises:
          UserError: a class is not known, or the generator is not conditional.
        """
        blocks = [block["images"] for block in self.stream(num, seed=seed, classes=classes)]
        return np.concatenate(blocks) if blocks else np.zeros((0, *self.image_shape), np.uint8)

    def stream(
        self, num: int, *, seed: int = 0, classes: Sequence[int | str] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The same in blocks: dicts of `images` and, if conditional, int32 `labels`."""
        ranges.require("seed", seed, ranges.SEED)
        wanted = self.class_numbers(classes)
        # All blocks have one size, so that they are compiled once; the last is cut.
        size = min(num, _BATCH)
        for start in range(0, num, _BATCH):
            count = min(size, num - start)
            latent = latents(seed, start, size, self.latent_dim)
            labels = (
                None if wanted is None else wanted[np.arange(start, start + size) % len(wanted)]
            )
            block = {"images": np.asarray(self._render(latent, labels))[:count]}
            yield block if labels is None else block | {"labels": labels[:count]}

    def interpolate(
        self,
        seeds: tuple[int, int],
        steps: int,
        *,
        classes: Sequence[int | str] | None = None,
    ) -> np.ndarray:
        """uint8 `[rows * steps, H, W, C]`, from one seed's first image to another's.

        Args:
          seeds: of the two ends.
          steps: images of a row, ends included.
          classes: a row for each; all classes if None. One row for an unconditional generator.

        Raises:
          UserError: a class is not known, or the generator is not conditional.
        """
        ranges.require("seeds", tuple(seeds), ranges.SEED)
        first, last = (latents(seed, 0, 1, self.latent_dim)[0] for seed in seeds)
        # The ends of one great circle being one point, it has no direction.
        path = slerp(first, last, steps) if seeds[0] != seeds[1] else jnp.stack([first] * steps)
        wanted = self.class_numbers(classes)
        rows = [None] if wanted is None else [np.full(steps, number) for number in wanted]
        return np.concatenate([np.asarray(self._render(path, labels)) for labels in rows])

    def class_numbers(self, classes: Sequence[int | str] | None) -> np.ndarray | None:
        """Numbers int32 of classes given by number or name; None for an unconditional generator."""
        if not self.classes:
            if classes is not None:
                raise UserError("This generator was trained without labels, so it has no classes.")
            return None
        chosen = range(len(self.classes)) if classes is None else classes
        if len(chosen) == 0:
            raise UserError("The list of classes to sample is empty.")
        return np.asarray([self._class_number(name) for name in chosen], np.int32)

    def _class_number(self, name: int | str) -> int:
        if name in self.classes:
            return self.classes.index(name)
        if str(name).isdecimal() and int(name) < len(self.classes):
            return int(name)
        known = ", ".join(f"{i} {known}" for i, known in enumerate(self.classes))
        raise UserError(f"There is no class {name!r}; there are {known}.")

    def _render(self, latent: jax.Array, labels: np.ndarray | None) -> jax.Array:
        label = None if labels is None else jax.nn.one_hot(labels, len(self.classes))
        return render(self.net, latent, label)


def load(workdir: str | Path, *, step: run_folder.Step = None) -> Sampler:
    """A sampler of the generator in a run folder, which may still be training.

    Args:
      workdir: the folder given to training.
      step: of the checkpoint; the newest if None, "best" for the one kept as such.

    Raises:
      UserError: there is no run, no such checkpoint, or no generator that takes latents.
    """
    workdir = paths.expanded(workdir)
    made = run_folder.experiment(workdir)
    makes = made.game.makes
    if not isinstance(makes, Latent):
        raise UserError(
            f"The run in {workdir} plays {made.config.game.name}, whose generators turn images "
            "into images: use gans.load_translator, or experiments.translate."
        )
    info = run_folder.read_info(workdir)
    restored = run_folder.restore(workdir, made, info, step)
    return Sampler(
        restored.state.nets[makes.net],
        latent_dim=makes.dim,
        classes=info.classes,
        image_shape=info.image_shape,
        step=restored.step,
    )
