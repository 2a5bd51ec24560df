"""What training changes: a `NetState` for each network, and the `GanState` that holds them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state

from gans.core.types import Arguments, Batch, Game, Memory
from gans.ops import spectral


class NetState(train_state.TrainState):
    """A network: parameters, optimizer state, running statistics, optional average.

    Attributes:
      model_state: the variable collections besides `params` (`batch_stats`).
      ema_params: exponential moving average of the parameters, or None.
      ema_model_state: the same average of `model_state`: the running statistics of the
        raw parameters would not suit the averaged ones.
      ema_decay: decay of the averages for each move, in [0, 1).
      ema_warmup: while few moves are done the decay is lower: at most `(1 + t) / (ema_warmup + t)`
        after `t` of them, as of TensorFlow's ExponentialMovingAverage, where it is 10. So what
        the network began with is soon forgotten. 0 for none.
      ema_half_life: in place of a decay, the moves after which the averages have forgotten half,
        as a function of the moves done; 0 there for averages that are the network itself.
      remat: whether training computes a forward pass anew for its gradient instead of
        keeping what it computed: less memory, more time (Chen et al. 2016, arXiv:1604.06174).
        On accelerators: XLA for the CPU sees the same pass twice, and computes and keeps one.
    """

    model_state: Mapping[str, Any]
    ema_params: Any = None
    ema_model_state: Any = None
    ema_decay: float = struct.field(pytree_node=False, default=0.0)
    ema_warmup: float = struct.field(pytree_node=False, default=0.0)
    ema_half_life: optax.Schedule | None = struct.field(pytree_node=False, default=None)
    remat: bool = struct.field(pytree_node=False, default=False)

    def __call__(
        self, *inputs: jax.Array, train: bool = True, key: jax.Array | None = None
    ) -> tuple[jax.Array, NetState]:
        """Applies the network; returns its output and itself with its statistics moved on.

        Args:
          *inputs: what the network's module takes.
          train: batch statistics and dropout when True, running statistics when False.
          key: for dropout, in networks that have it.
        """

        def forward(variables, inputs, rngs):
            mutable = list(self.model_state) if train else []
            return self.apply_fn(variables, *inputs, train=train, mutable=mutable, rngs=rngs)

        if self.remat and train:
            forward = jax.checkpoint(forward)
        variables = {"params": self.params, **self.model_state}
        output, model_state = forward(variables, inputs, {} if key is None else {"dropout": key})
        return output, self.replace(model_state=model_state) if train else self

    def features(
        self, *inputs: jax.Array, train: bool = True, key: jax.Array | None = None
    ) -> dict[str, Any]:
        """What the network's module has sown into the collection "features": see `flax.linen.sow`.

        The network's output, and what the statistics would become, are dropped.

        Returns:
          By the names under which they were sown, nested as the modules are.
        """
        mutable = ["features", *(self.model_state if train else ())]
        rngs = {} if key is None else {"dropout": key}
        variables = {"params": self.params, **self.model_state}
        _, found = self.apply_fn(variables, *inputs, train=train, mutable=mutable, rngs=rngs)
        return jax.tree.map(
            lambda sown: sown[-1],  # `sow` appends to a tuple
            found.get("features", {}),
            is_leaf=lambda x: isinstance(x, tuple),
        )

    def descend(self, grads: Any) -> NetState:
        """One optimizer step, and the averages after it: `ema + (1 - decay) (new - ema)`."""
        state = self.apply_gradients(grads=grads)
        if self.ema_params is None:
            return state
        rate = self._rate()
        return state.replace(
            ema_params=optax.incremental_update(state.params, self.ema_params, rate),
            ema_model_state=optax.incremental_update(state.model_state, self.ema_model_state, rate),
        )

    def _rate(self) -> float | jax.Array:
        """One less the decay of the averages at the move that comes next."""
        if self.ema_half_life is not None:
            half_life = jnp.asarray(self.ema_half_life(self.step), jnp.float32)
            return -jnp.expm1(-math.log(2.0) / half_life)
        rate = 1.0 - self.ema_decay
        if self.ema_warmup <= 1.0:
            return rate
        t = jnp.asarray(self.step, jnp.float32)
        return jnp.maximum(rate, (self.ema_warmup - 1.0) / (self.ema_warmup + t))

    def with_spectral(self, seen: NetState) -> NetState:
        """The network with the vectors of spectral normalisation that another one has come to."""
        moved = {spectral.COLLECTION: seen.model_state[spectral.COLLECTION]}
        return self.replace(model_state={**self.model_state, **moved})

    def averaged(self) -> NetState:
        """The network with its averaged parameters and statistics, where it keeps them."""
        if self.ema_params is None:
            return self
        return self.replace(params=self.ema_params, model_state=self.ema_model_state)


class GanState(struct.PyTreeNode):
    """All of a run that `update` reads and writes.

    Attributes:
      step: int32 scalar, iterations done.
      key: the run's PRNG key; an iteration's randomness is `fold_in(key, step)`.
      nets: a `NetState` for each network's name.
      weights: float32 scalars by loss term. Values, not constants of the compiled
        program, so that a weight can be changed without compiling again.
      memory: what the game keeps besides, or None.
    """

    step: jax.Array
    key: jax.Array
    nets: dict[str, NetState]
    weights: dict[str, jax.Array]
    memory: Memory = None


def create_net(
    key: jax.Array,
    module: nn.Module,
    inputs: tuple[jax.Array, ...],
    tx: optax.GradientTransformation,
    ema_decay: float = 0.0,
    ema_warmup: float = 0.0,
    ema_half_life: optax.Schedule | None = None,
    remat: bool = False,
) -> NetState:
    """Initialises one network; `ema_decay` 0 without a half-life keeps no average."""
    variables = module.init(key, *inputs, train=False)
    params = variables.pop("params")
    variables.pop("features", None)  # what was sown is no statistics: see `NetState.features`
    # Copies, because an average that shares the parameters' buffers cannot be donated with them.
    ema_params, ema_model_state = jax.tree.map(jnp.copy, (params, variables))
    has_ema = bool(ema_decay) or ema_half_life is not None
    return NetState.create(
        apply_fn=module.apply,
        params=params,
        tx=tx,
        model_state=variables,
        ema_params=ema_params if has_ema else None,
        ema_model_state=ema_model_state if has_ema else None,
        ema_decay=ema_decay,
        ema_warmup=ema_warmup,
        ema_half_life=ema_half_life,
        remat=remat,
    )


def create_state(
    key: jax.Array,
    game: Game,
    batch: Batch,
    *,
    nets: Mapping[str, nn.Module],
    optimizers: Mapping[str, optax.GradientTransformation],
    weights: Mapping[str, float],
    averages: Mapping[str, Mapping[str, Any]] | None = None,
    remat: bool = False,
) -> GanState:
    """The state at step 0. Pure: can be run under `jax.jit` and `jax.eval_shape`.

    Args:
      key: the seed of everything random in the run.
      game: the game to be played.
      batch: any batch of the right shape; its values do not matter.
      nets: the module of each network, by name.
      optimizers: the optimizer of each network, by name.
      weights: the weight of each loss term, by name.
      averages: by name, for the networks of which an average is kept, its `ema_decay`,
        `ema_warmup` and `ema_half_life` as in `NetState`.
      remat: as in `NetState`, for all networks.
    """
    run_key, draw_key, *net_keys = jax.random.split(key, 2 + len(nets))
    extras = {"step": jnp.zeros((), jnp.int32), **game.draw(draw_key, batch)}
    inputs = game.inputs(batch, extras)
    keys = dict(zip(sorted(nets), net_keys, strict=True))

    def made(name: str, arguments: Arguments) -> NetState:
        average = (averages or {}).get(name, {})
        net = keys[name], nets[name], arguments, optimizers[name]
        return create_net(*net, **average, remat=remat)

    first = {name: made(name, x) for name, x in inputs.items() if not callable(x)}
    last = {name: made(name, x(first)) for name, x in inputs.items() if callable(x)}
    return GanState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        nets={name: (first | last)[name] for name in nets},
        weights={name: jnp.asarray(value, jnp.float32) for name, value in weights.items()},
        memory=game.memory(batch),
    )
