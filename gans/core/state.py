"""What training changes: a `NetState` for each network, and the `GanState` that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct
from flax.training import train_state

from gans.core.types import Arguments, Batch, Game, Memory


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
      remat: whether training computes a forward pass anew for its gradient instead of
        keeping what it computed: less memory, more time (Chen et al. 2016, arXiv:1604.06174).
        On accelerators: XLA for the CPU sees the same pass twice, and computes and keeps one.
    """

    model_state: Mapping[str, Any]
    ema_params: Any = None
    ema_model_state: Any = None
    ema_decay: float = struct.field(pytree_node=False, default=0.0)
    ema_warmup: float = struct.field(pytree_node=False, default=0.0)
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
        rate = 1.0 - self.ema_decay
        if self.ema_warmup <= 1.0:
            return rate
        t = jnp.asarray(self.step, jnp.float32)
        return jnp.maximum(rate, (self.ema_warmup - 1.0) / (self.ema_warmup + t))

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
    remat: bool = False,
) -> NetState:
    """Initialises one network; `ema_decay` 0 keeps no average."""
    variables = module.init(key, *inputs, train=False)
    params = variables.pop("params")
    variables.pop("features", None)  # what was sown is no statistics: see `NetState.features`
    # Copies, because an average that shares the parameters' buffers cannot be donated with them.
    ema_params, ema_model_state = jax.tree.map(jnp.copy, (params, variables))
    return NetState.create(
        apply_fn=module.apply,
        params=params,
        tx=tx,
        model_state=variables,
        ema_params=ema_params if ema_decay else None,
        ema_model_state=ema_model_state if ema_decay else None,
        ema_decay=ema_decay,
        ema_warmup=ema_warmup,
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
    ema_decays: Mapping[str, float] | None = None,
    ema_warmups: Mapping[str, float] | None = None,
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
      ema_decays: by name, for the networks of which an average is kept.
      ema_warmups: by name, for those whose average warms up.
      remat: as in `NetState`, for all networks.
    """
    run_key, draw_key, *net_keys = jax.random.split(key, 2 + len(nets))
    extras = {"step": jnp.zeros((), jnp.int32), **game.draw(draw_key, batch)}
    inputs = game.inputs(batch, extras)
    keys = dict(zip(sorted(nets), net_keys, strict=True))
    decays, warmups = ema_decays or {}, ema_warmups or {}

    def made(name: str, arguments: Arguments) -> NetState:
        ema = decays.get(name, 0.0), warmups.get(name, 0.0)
        return create_net(keys[name], nets[name], arguments, optimizers[name], *ema, remat)

    first = {name: made(name, x) for name, x in inputs.items() if not callable(x)}
    last = {name: made(name, x(first)) for name, x in inputs.items() if callable(x)}
    return GanState(
        step=jnp.zeros((), jnp.int32),
        key=run_key,
        nets={name: (first | last)[name] for name in nets},
        weights={name: jnp.asarray(value, jnp.float32) for name, value in weights.items()},
        memory=game.memory(batch),
    )
