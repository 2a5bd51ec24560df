"""A small classifier of a data set, trained by `experiments.train_classifier`, as a feature net.

It needs no download, and it knows the classes that conditional samples are asked for. Distances
in its features are called after it (`fcd`), and are not comparable with FID, or with those of
another classifier.

Those that come with the code, by the name of their data set, are in `weights/`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from gans.core.pixels import to_float
from gans.errors import UserError
from gans.evaluation.features.network import FeatureNet, Seen
from gans.files import archives, finite, paths
from gans.files.writing import atomic
from gans.models.layers import BatchNorm, Conv, Dense

WEIGHTS = Path(__file__).parent / "weights"
_ABOUT = "about"  # the entry of a file that is no array of numbers
_DEEPEST = 64  # halvings; of an image of 32 pixels nothing is left after five


class Classifier(nn.Module):
    """A residual network in the manner of He et al. 2015 (arXiv:1512.03385), nine layers deep.

    Attributes:
      classes: how many there are.
      stem_features: channels after the first convolution.
      features: channels after each halving.
      blocks: whether a residual block of two convolutions follows each halving.
    """

    classes: int
    stem_features: int = 32
    features: Sequence[int] = (64, 128, 144)
    blocks: Sequence[bool] = (False, True, True)

    @nn.compact
    def __call__(self, image: jax.Array, *, train: bool) -> Seen:
        """Features `[B, features[-1]]`, at least zero, and logits `[B, classes]`, float32.

        Args:
          image: float32 `[B, H, W, C]` in [-1, 1], of any size.
          train: normalise by the batch's statistics; by running ones otherwise.
        """

        def convolve(x: jax.Array, features: int, strides: int = 1) -> jax.Array:
            x = Conv(features, (3, 3), strides=strides, use_bias=False)(x)
            return nn.relu(BatchNorm(momentum=0.9, epsilon=1e-5)(x, train=train))

        x = convolve(image, self.stem_features)
        for features, block in zip(self.features, self.blocks, strict=True):
            x = convolve(x, features, strides=2)
            if block:
                x = x + convolve(convolve(x, features), features)
        x = jnp.mean(x, axis=(1, 2))
        return Seen(x, Dense(self.classes)(x))


def save(path: Path, variables: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Writes weights as float16, with what is to be known of them.

    Args:
      path: an `.npz` file.
      variables: of a `Classifier`.
      about: JSON values, among them `classes`, the names, and `network`, the module's fields.
    """
    arrays = {"/".join(key): np.asarray(value) for key, value in flatten_dict(variables).items()}
    halves = {name: value.astype(np.float16) for name, value in arrays.items()}
    with atomic(path) as file:
        np.savez_compressed(file, **halves, **{_ABOUT: np.array(json.dumps(about))})


def load(weights: str) -> FeatureNet:
    """The classifier of a file.

    Args:
      weights: an `.npz` file that `experiments.train_classifier` wrote, or the name of a data
        set whose classifier comes with the code.

    Raises:
      UserError: there is none, or the file is of another kind.
    """
    path = WEIGHTS / f"{weights}.npz"
    if not path.is_file():
        path = paths.expanded(weights)
    about, variables = read(path)
    module = _module(about)
    return FeatureNet(
        name="classifier",
        weights=hashlib.sha256(path.read_bytes()).hexdigest(),
        resize="none",
        classes=tuple(about["classes"]),
        apply=functools.partial(_apply, module),
        variables=variables,
    )


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a file says about itself, and its variables as float32.

    Raises:
      UserError: it cannot be read, is damaged, or is of another kind.
    """
    try:
        arrays = archives.load_npz(path)
        about = json.loads(str(arrays.pop(_ABOUT)))
        wanted = _shapes(about, channels=arrays["params/Conv_0/kernel"].shape[2])
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in WEIGHTS.glob("*.npz")))
        raise UserError(
            f"There is no classifier {path}: give a file of experiments.train_classifier, or one "
            f"of {known}, which come with the code."
        ) from None
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is no classifier of experiments.train_classifier.") from None
    for name in sorted(arrays.keys() | wanted.keys()):
        found = arrays[name] if name in arrays else np.zeros(0)
        if found.shape != wanted.get(name) or found.dtype.kind != "f":
            has = f"{found.dtype} {list(found.shape)}" if name in arrays else "none"
            needs = f"floats {list(wanted[name])}" if name in wanted else "none"
            raise UserError(
                f"{path} is no classifier of experiments.train_classifier: of {name} it has "
                f"{has}, and its network needs {needs}."
            )
    variables = {tuple(name.split("/")): value.astype(np.float32) for name, value in arrays.items()}
    variables = unflatten_dict(variables)
    finite.require(variables, str(path), "train the classifier anew, or take the file it was.")
    return about, variables


def _module(about: Mapping[str, Any]) -> Classifier:
    """The network that a file says it is of.

    Raises:
      KeyError, TypeError, ValueError: it does not say so.
    """
    classes, fields = about["classes"], as_fields(about["network"])
    features, blocks = fields.get("features", ()), fields.get("blocks", ())
    if not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        raise ValueError("classes are no list of names")
    widths = (fields.get("stem_features", 1), *features)
    if not all(isinstance(width, int) and width > 0 for width in widths):
        raise ValueError("features are no numbers above 0")
    if len(features) != len(blocks) or len(features) > _DEEPEST:
        raise ValueError("there is no such network")
    return Classifier(len(classes), **fields)


def _shapes(about: Mapping[str, Any], channels: int) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays of the network that a file says it is of, by their names."""
    image = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    init = functools.partial(_module(about).init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), image)
    return {"/".join(path): leaf.shape for path, leaf in flatten_dict(variables).items()}


def _apply(module: Classifier, variables: Any, images: jax.Array) -> Seen:
    channels = variables["params"]["Conv_0"]["kernel"].shape[2]
    if images.shape[-1] == 1:  # grey, to a network that was trained on three equal channels
        images = jnp.repeat(images, channels, axis=-1)
    return module.apply(variables, to_float(images), train=False)


def as_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a `Classifier` as JSON has them, lists as tuples."""
    return {name: tuple(x) if isinstance(x, list) else x for name, x in fields.items()}
