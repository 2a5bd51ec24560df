"""Our side of each task, as the commands run it; `peers.sides` is the other.

Every side has the methods

    facts()           how many iterations it runs at least at a time, and the memory taken
    first()           seconds of the first iteration, in which all is compiled
    block(count)      seconds of some iterations, and of these the wait for data
    question()        what another side must know to compute the same, and our answers
"""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments.studies.benchmark import data, flops, machine
from experiments.studies.benchmark.cases import Case
from gans import parallel
from gans.config import build
from gans.core.state import GanState, NetState
from gans.core.types import Extras
from gans.core.update import update
from gans.inference.sampling import Sampler, latents, render
from gans.inference.translating import Translator
from gans.training import program

ITERATIONS = 3  # that are compared
_PICTURE = 64  # side of the picture that is compared
_SAMPLES = 16  # that are compared


class Side:
    """What all our sides share."""

    grain = 1  # iterations that it runs at least at a time

    def __init__(self, case: Case):
        jax.devices()
        self.case, self._before = case, machine.peak_memory()

    def facts(self) -> dict[str, Any]:
        """What is known without running anything further."""
        stats = jax.devices()[0].memory_stats() or {}
        return {
            "grain": self.grain,
            "device": jax.devices()[0].device_kind,
            "devices": jax.device_count(),
            "memory_before_mib": round(self._before / 2**20),
            "peak_memory_mib": round(machine.peak_memory() / 2**20),
            "peak_device_memory_mib": round(stats.get("peak_bytes_in_use", 0) / 2**20) or None,
        }

    def first(self) -> float:
        """Seconds of the first iterations, as few as can be."""
        return self.block(self.grain)[0]

    def block(self, count: int) -> tuple[float, float]:
        """Seconds of iterations, and of these the wait for data."""
        start = time.perf_counter()
        for _ in range(count):
            self.iteration()
        return time.perf_counter() - start, 0.0

    def iteration(self) -> None:
        """Does what is timed, to the end."""
        raise NotImplementedError

    def demand(self) -> flops.Demand | None:
        """What one iteration takes, where it is one program."""
        return None


class Training(Side):
    """Iterations of training, in the chunks and over the devices that training runs them.

    As there, the host is one chunk behind: it waits for the metrics of a chunk when the next
    one is on its way.
    """

    def __init__(self, case: Case):
        super().__init__(case)
        self._config = config = case.read_config()
        self._mesh = parallel.make_mesh(config.mesh.data)
        parallel.check_batch_size(config.data.batch_size, self._mesh)
        self._source = data.source(config)
        self._program = program.make(build.of_run(config), self._mesh, self._source)
        # A compiled loop has one length; where steps are called one by one, any will do.
        on_cpu = jax.default_backend() == "cpu"
        self.grain = 1 if on_cpu else config.train.steps_per_call
        self._state, self._done = None, 0

    def first(self) -> float:
        """Seconds of the first iterations, of a state that is there."""
        key = jax.random.key(self._config.seed)
        self._state = jax.block_until_ready(self._program.begin(key))
        return super().first()

    def block(self, count: int) -> tuple[float, float]:
        """Seconds of iterations, a multiple of the grain, and of these the wait for data."""
        size = self._config.train.steps_per_call
        sizes = [size] * (count // size) + ([count % size] if count % size else [])
        feeds = self._program.pipeline.feeds(self._done, sizes)
        start, waited, behind = time.perf_counter(), 0.0, None
        for _ in sizes:
            asked = time.perf_counter()
            feed = next(feeds)
            waited += time.perf_counter() - asked
            self._state, metrics = self._program.advance(self._state, feed)
            jax.device_get(behind)
            behind = metrics
        jax.device_get(behind)
        jax.block_until_ready(self._state)
        self._done += count
        return time.perf_counter() - start, waited

    def demand(self) -> flops.Demand:
        """Of one step."""

        pipeline, game = self._program.pipeline, self._program.experiment.game

        def step(state: GanState, resident: Any, feed: Any) -> Any:
            return update(state, pipeline.batch(resident, feed), game=game)

        arrays = (self._state, self._program.resident, self._feed())
        shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arrays)
        return flops.demand(step, *shapes, donate_argnums=0)

    def question(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Networks to start from, a batch and noise, and every loss term in some iterations.

        All iterations see the same batch and noise, so that from one to the next nothing but
        the optimizers changes a loss. In float32 and without dropout. Kernels that begin at zero do
        not here: what they are multiplied by would make no difference.
        """
        made, batch = build.of_run(exact(self._config)), self._batch()
        begun = program.make(made, self._mesh, self._source, self._program.resident)
        state, draw = begun.begin(jax.random.key(self._config.seed)), made.game.draw
        nets = {
            name: net.replace(params=jax.tree.map(_filled, net.params))
            for name, net in state.nets.items()
        }
        state, noise = state.replace(nets=nets), draw(jax.random.key(1), batch)
        game = dataclasses.replace(
            made.game, draw=lambda key, batch: draw(jax.random.key(1), batch)
        )
        step = functools.partial(update, game=game)
        chunk = parallel.jit_chunk(
            step, lambda resident, feed: resident, self._mesh, begun.shardings
        )
        given = {
            "nets": {name: variables(net) for name, net in state.nets.items()},
            "batch": jax.device_get(batch),
            "noise": jax.device_get(numbers(noise, self._config)),
            "iterations": ITERATIONS,
        }
        feed = np.zeros((ITERATIONS, self._mesh.size), np.int32)
        with jax.default_matmul_precision("highest"):
            _, metrics = chunk(state, batch, feed)
        terms = {f"{p.name}/{term}" for p in game.players for term in p.terms}
        return given, {name: np.asarray(metrics[name]) for name in terms}

    def _batch(self) -> Any:
        made, everywhere = self._program, parallel.replicated(self._mesh)
        make = jax.jit(made.pipeline.batch, out_shardings=everywhere)
        return make(made.resident, self._feed())

    def _feed(self) -> Any:
        return jax.tree.map(lambda x: x[0], next(self._program.pipeline.feeds(0, [1])))


def exact(config: ConfigDict) -> ConfigDict:
    """A config with nets that compute in float32 and drop nothing."""
    config = config.copy_and_resolve_references()
    for net in config.nets.values():
        net.dtype = "float32"
        if "dropout" in net:
            net.dropout = 0.0
    return config


def _filled(x: jax.Array) -> jax.Array:
    """Small numbers in place of a kernel of zeros; vectors are left as they are."""
    if x.ndim < 2 or jnp.any(x):
        return x
    return x + 0.05 * jax.random.normal(jax.random.key(2), x.shape)


def numbers(noise: Extras, config: ConfigDict) -> dict[str, Any]:
    """The noise of an iteration without its keys, which another side could not draw from.

    Instead of those of the penalties it has, under "share", what `penalties.GradientPenalty` draws
    from them, `[steps, B, 1, 1, 1]` in steps of B images: see `gans.games.critic.pay`.
    """
    found = {name: x for name, x in noise.items() if not _has_keys(x)}
    for number, penalty in enumerate(config.loss.get("penalties", {}).values()):
        if penalty.name == "penalties.GradientPenalty":
            keys = noise["penalties"].reshape(-1)
            own = jax.vmap(jax.random.fold_in, (0, None))(keys, number)
            halves = 2 if config.game.name == "relativistic.paired" else 1
            shape = (config.data.batch_size // (halves * len(keys)), 1, 1, 1)
            found["share"] = jnp.stack([jax.random.uniform(key, shape) for key in own])
    return found


def _has_keys(noise: Any) -> bool:
    return any(jnp.issubdtype(x.dtype, jax.dtypes.prng_key) for x in jax.tree.leaves(noise))


def variables(net: NetState) -> dict[str, Any]:
    """Parameters, running statistics and vectors of spectral norms of a network, in numpy."""
    return jax.device_get({"params": net.params, **net.model_state})


class _Generating(Side):
    """What tasks with one trained generator share: the generator, here not trained."""

    def __init__(self, case: Case):
        super().__init__(case)
        self.config = case.read_config()
        source = data.source(self.config)
        self.info = source.info(self.config.data.labels)
        self.experiment = build.of_run(self.config)
        start = self.experiment.start(self.info)
        with build.fitting():
            self.nets = jax.jit(start)(jax.random.key(self.config.seed)).nets


class Sampling(_Generating):
    """Images from latent vectors as `experiments.sample` makes them, to arrays on the host."""

    def __init__(self, case: Case):
        super().__init__(case)
        # Statistics of a network that has seen something, so that they make a difference.
        makes = self.experiment.game.makes
        net = self.nets[makes.net]
        model_state = jax.tree.map(_unlike, net.model_state)
        self.sampler = Sampler(
            net.replace(model_state=model_state),
            latent_dim=makes.dim,
            classes=self.info.classes,
            image_shape=self.info.image_shape,
            step=0,
        )

    def iteration(self) -> None:
        self.sampler.sample(self.case.fields["num"])

    def demand(self) -> flops.Demand:
        num = self.case.fields["num"]
        latent = jax.ShapeDtypeStruct((num, self.sampler.latent_dim), jnp.float32)
        shape = (num, len(self.info.classes))
        label = jax.ShapeDtypeStruct(shape, jnp.float32) if self.info.classes else None
        return flops.demand(render, self.sampler.net, latent, label)

    def question(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The generator and latent vectors, and its images before they become whole numbers."""
        net, classes = self.sampler.net, len(self.info.classes)
        latent = latents(0, 0, _SAMPLES, self.sampler.latent_dim)
        label = (jax.nn.one_hot(np.arange(_SAMPLES) % classes, classes),) if classes else ()
        with jax.default_matmul_precision("highest"):
            images, _ = jax.jit(lambda net, *x: net(*x, train=False))(net, latent, *label)
        given = {
            "nets": {"generator": variables(net)},
            "inputs": jax.device_get((latent, *label)),
        }
        return given, {"images": np.asarray(images)}


def _unlike(x: jax.Array) -> jax.Array:
    """Other statistics, variances staying above zero."""
    return x + 0.3 * jnp.cos(jnp.arange(x.size, dtype=x.dtype)).reshape(x.shape)


class Translating(_Generating):
    """A picture translated as `experiments.translate` does."""

    def __init__(self, case: Case):
        super().__init__(case)
        channels = self.info.image_shape[-1]
        self.translator = Translator(
            self.nets["generator_ab"],
            channels=channels,
            multiple=self.experiment.nets["generator_ab"].multiple,
            image_size=self.info.image_shape[0],
        )
        height, width = case.fields["height"], case.fields["width"]
        self.picture = data.photograph(height, width, channels)

    def iteration(self) -> None:
        self.translator.translate(self.picture)

    def question(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The generator and a small picture, and its translation."""
        side = self.info.image_shape[0] if self.translator.whole else _PICTURE
        picture = data.photograph(side, side, self.translator.channels)
        with jax.default_matmul_precision("highest"):
            translated = self.translator.translate(picture)
        given = {
            "nets": {"generator_ab": variables(self.translator.net)},
            "inputs": (picture[None].astype(np.float32) / 127.5 - 1.0,),
        }
        # Rounded to whole numbers: half of one is what exact numbers may be off.
        return given, {"levels": translated[None].astype(np.float32)}


class Evaluating(_Generating):
    """The evaluators of a config on a generator, as training runs them: ours alone.

    The data set is the config's own, for networks that look at images have seen it. What is
    kept of real images is kept in a folder of its own, which goes with the process.
    """

    def __init__(self, case: Case):
        self._cache = tempfile.TemporaryDirectory()
        os.environ["XDG_CACHE_HOME"] = self._cache.name
        from gans.evaluation.runner import EvaluationRunner
        from gans.evaluation.subject import Reference

        super().__init__(case)
        config = self.config
        source = build.data_source(config.data)
        info = source.info(config.data.labels)
        reference = Reference(config, parallel.make_mesh(config.mesh.data), source)
        self._evaluation = EvaluationRunner(self.experiment, info, reference)
        self._evaluation.prepare()
        self._names = [name for name, spec in config.evaluators.items() if spec.every_steps > 0]

    def iteration(self) -> None:
        self._evaluation.run(self.nets, 0, self._names)


TASKS = {
    "train": Training,
    "sample": Sampling,
    "translate": Translating,
    "evaluate": Evaluating,
}


def side(case: Case) -> Side:
    """Our side of a case, in a process of its own."""
    # What is read from a cache was not compiled, and its time would be of the disk.
    jax.config.update("jax_enable_compilation_cache", False)
    return TASKS[case.task](case)
