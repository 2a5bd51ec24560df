"""Training of the small classifier through which a data set's metrics look."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from ml_collections import ConfigDict
from tqdm import tqdm

from gans.config import build
from gans.core.pixels import to_float
from gans.data.pipeline import Pipeline, make_pipeline
from gans.data.source import Augment, Source
from gans.errors import UserError
from gans.evaluation.features import classifier
from gans.files import paths

_RESIDENT_MIB = 4096
_AT_ONCE = 500  # images of a batch that is only looked at


class Recipe(NamedTuple):
    """How to train.

    Attributes:
      epochs: passes through the training images.
      batch_size: images of a step.
      learning_rate: at its highest, after a fifth of the steps; it rises from and falls to zero.
      weight_decay: of all parameters.
      flip: whether half of the images are mirrored.
      shift: how many pixels an image is moved at most, in any direction.
      seed: of everything random.
    """

    epochs: int = 14
    batch_size: int = 128
    learning_rate: float = 0.2
    weight_decay: float = 5e-4
    flip: bool = True
    shift: int = 4
    seed: int = 0


class State(struct.PyTreeNode):
    """What a step changes."""

    variables: Any
    momentum: Any


def run(data: ConfigDict, recipe: Recipe, *, train: str, test: str, out: Path) -> float:
    """Trains a classifier on the images a config's `data` section names, and writes it.

    Args:
      data: as in `configs/`; its split is not used.
      recipe: how to train.
      train, test: splits to train on and to measure the accuracy on.
      out: the `.npz` file to write.

    Returns:
      The share of the test images that the classifier in the file gets right.

    Raises:
      UserError: the images have no labels, or the data cannot be loaded.
    """
    out = paths.expanded(out)
    sources = [_labelled(data, split) for split in (train, test)]
    source = dataclasses.replace(sources[0], augment=moved(recipe.shift, recipe.flip))
    pipeline = make_pipeline(
        source,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        labels=True,
        resident_mib=_RESIDENT_MIB,
    )
    module = classifier.Classifier(len(source.classes))
    variables = _fit(module, pipeline, recipe, len(source), source.image_shape)
    network = {"stem_features": module.stem_features, "features": module.features}
    about = {
        "data": data.name,
        "train": train,
        "test": test,
        "classes": source.classes,
        "network": network | {"blocks": module.blocks},
        "recipe": recipe._asdict(),
        "versions": {name: importlib.metadata.version(name) for name in ("jax", "flax", "optax")},
    }
    # The accuracy is that of the weights as they are kept.
    kept = jax.tree.map(lambda x: x.astype(np.float16).astype(np.float32), variables)
    about["accuracy"] = accuracy(module, kept, sources[1])
    classifier.save(out, variables, about)
    return about["accuracy"]


def _labelled(data: ConfigDict, split: str) -> Source:
    data = data.copy_and_resolve_references()
    data.split = split
    source = build.data_source(data)
    if not isinstance(source, Source) or source.labels is None:
        raise UserError("A classifier needs images in classes; this data set has no labels.")
    return source


def moved(shift: int, flip: bool) -> Augment:
    """Moves an image by up to `shift` pixels, what comes in being mirrored at its border."""

    def augment(image: jax.Array, key: jax.Array) -> jax.Array:
        move, mirror = jax.random.split(key)
        start = jax.random.randint(move, (2,), 0, 2 * shift + 1)
        wide = jnp.pad(image, ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
        image = jax.lax.dynamic_slice(wide, (*start, 0), image.shape)
        if flip:
            image = jnp.where(jax.random.bernoulli(mirror), image[:, ::-1], image)
        return image

    return augment


def _fit(
    module: classifier.Classifier,
    pipeline: Pipeline,
    recipe: Recipe,
    size: int,
    image_shape: tuple[int, int, int],
) -> Mapping[str, Any]:
    """The variables after all epochs."""
    steps = max(1, recipe.epochs * size // recipe.batch_size)
    rate = optax.schedules.join_schedules(
        [
            optax.linear_schedule(0.0, recipe.learning_rate, steps // 5),
            optax.linear_schedule(recipe.learning_rate, 0.0, steps - steps // 5),
        ],
        [steps // 5],
    )
    optimizer = optax.chain(
        optax.add_decayed_weights(recipe.weight_decay),
        optax.sgd(rate, momentum=0.9, nesterov=True),
    )
    start = functools.partial(module.init, train=False)
    variables = jax.jit(start)(jax.random.key(recipe.seed), jnp.zeros((1, *image_shape)))
    state = State(variables, optimizer.init(variables["params"]))

    @functools.partial(jax.jit, donate_argnums=0)
    def step(state: State, resident, feed) -> tuple[State, jax.Array]:
        batch = pipeline.batch(resident, feed)

        def loss(params):
            variables = {**state.variables, "params": params}
            seen, moved_on = module.apply(
                variables, batch["image"], train=True, mutable=["batch_stats"]
            )
            return jnp.mean(optax.softmax_cross_entropy(seen.logits, batch["label"])), moved_on

        params = state.variables["params"]
        (value, moved_on), grads = jax.value_and_grad(loss, has_aux=True)(params)
        updates, momentum = optimizer.update(grads, state.momentum, params)
        params = optax.apply_updates(params, updates)
        return State({"params": params, **moved_on}, momentum), value

    resident = jax.device_put(pipeline.resident)
    average = None
    with tqdm(total=steps, unit="step", desc="classifier", disable=None) as bar:
        for feed in pipeline.feeds(0, [1] * steps):
            state, value = step(state, resident, jax.tree.map(lambda x: x[0], feed))
            average = float(value) if average is None else 0.98 * average + 0.02 * float(value)
            bar.set_postfix_str(f"loss {average:.3f}", refresh=False)
            bar.update()
    return jax.device_get(state.variables)


def accuracy(module: classifier.Classifier, variables: Mapping[str, Any], source: Source) -> float:
    """The share of a data set's images whose class has the largest logit."""

    @jax.jit
    def guess(images: jax.Array) -> jax.Array:
        return jnp.argmax(module.apply(variables, to_float(images), train=False).logits, axis=-1)

    right = 0
    for start in range(0, len(source), _AT_ONCE):
        images = np.stack([source.images[i] for i in range(start, len(source))[:_AT_ONCE]])
        labels = source.labels[start : start + _AT_ONCE]
        right += int(np.sum(np.asarray(guess(images)) == labels))
    return right / len(source)
