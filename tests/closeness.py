"""How near two computations in float32 must be: measured against float64, not found by trying.

What two float32 programs make of the same numbers differs by what each rounds on its way, and that
depends on the order of their sums, and so on the processor, on the compiler and on its flags. A
fixed bound on their difference says how things were on one machine. What holds on any is a bound
on the distance of each to the truth, which is the same program, or a reference, in float64 on the
same float32 inputs:

- `assert_no_further` asks that ours is no further from it than a few times the other side is. Our
  sums have another order, not more roundings, so their distance is of the same size; both are
  draws of rounding errors, and the largest of one is seldom twice that of the other.
- `sums_round_by` is for sums whose order is free, and has no other side: a bound from the number
  of the summands and their magnitudes.

Neither excuses a mistake: rounding is about 1e-6 of an array's largest number, and something
wrong in the fourth digit is a hundred times that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

EPS = float(np.finfo(np.float32).eps)
FACTOR = 4.0
"""How many times the other side's distance ours may have."""

FLOOR = 8 * EPS
"""Below this share of what was summed a distance is luck: a handful of roundings."""


def largest(tree: Any, path: tuple) -> float:
    """The largest magnitude of the array there: what its sums are made of, where none cancels."""
    return float(np.abs(np.asarray(at(tree, path), np.float64)).max(initial=0.0))


def of_layer(tree: Any, path: tuple) -> float:
    """The largest magnitude in an array's layer, for parameters, their gradients and statistics.

    A bias's gradient sums what the kernel's is made of, and cancels, to rounding where a
    normalisation follows.
    """
    return max(map(float, (np.abs(leaf).max() for leaf in jax.tree.leaves(at(tree, path[:-1])))))


def of_all(tree: Any, path: tuple) -> float:
    """The largest magnitude of all: for losses, the least of which is made of as large logits."""
    del path
    return max(float(np.abs(leaf).max()) for leaf in jax.tree.leaves(tree))


def at(tree: Any, path: tuple) -> Any:
    """The leaf, or the tree, at a path of `jax.tree_util`."""
    for key in path:
        tree = getattr(tree, key.name) if hasattr(key, "name") else tree[_index(key)]
    return tree


def _index(key: Any) -> Any:
    return key.key if hasattr(key, "key") else key.idx


def tolerances(
    other: Any, exact: Any, *, size: Callable = largest, factor: float = FACTOR
) -> dict[tuple, float]:
    """By path, how far from `exact` an array may be: see `assert_no_further`."""
    sizes = {path: size(exact, path) for path, _ in jax.tree_util.tree_leaves_with_path(exact)}
    # Of all arrays, each relative to what it sums: one number that was rounded well by luck does
    # not ask for the same luck.
    distance = max(
        (_distance(at(other, path), at(exact, path)) / s for path, s in sizes.items() if s),
        default=0.0,
    )
    return {path: (factor * distance + FLOOR) * s for path, s in sizes.items()}


def assert_no_further(
    ours: Any, other: Any, exact: Any, *, size: Callable = largest, factor: float = FACTOR
) -> None:
    """Asserts that `ours` is no further from `exact` than `factor` times as far as `other`.

    Distances are the largest of an array's elements, relative to the size of what is summed.

    Args:
      ours: a tree of arrays, float32.
      other: another computation of the same.
      exact: the same in float64.
      size: `(exact, path) -> number`, the magnitude of what the array at that path sums.
      factor: see above.
    """
    assert jax.tree.structure(ours) == jax.tree.structure(exact) == jax.tree.structure(other)
    for path, allowed in tolerances(other, exact, size=size, factor=factor).items():
        mine, right = at(ours, path), at(exact, path)
        assert np.shape(mine) == np.shape(right), jax.tree_util.keystr(path)
        distance = _distance(mine, right)
        assert distance <= allowed, (
            f"{jax.tree_util.keystr(path)} is {distance:.3g} from float64, where {allowed:.3g} is "
            f"allowed and the other side's distance is {_distance(at(other, path), right):.3g}"
        )


def _distance(array: Any, exact: Any) -> float:
    difference = np.asarray(array, np.float64) - np.asarray(exact, np.float64)
    return float(np.abs(difference).max(initial=0.0))


def sums_round_by(magnitudes: Any, count: int) -> np.ndarray:
    """How far rounding may move sums of `count` float32 products, in any order.

    Errors of partial sums are as often up as down, so they grow with the root of their number:
    at most `eps * sqrt(count) * sum |a b|` (Higham and Mary 2019, https://doi.org/10.1137/18M1226312,
    theorem 2.4, with lambda = 2; its bound fails for one sum in a thousand if partial sums are as
    large as they can be, which sums of numbers of both signs are far from).

    Args:
      magnitudes: the sums of the magnitudes of what is summed.
      count: how many summands each has.
    """
    return EPS * np.sqrt(count) * np.asarray(magnitudes, np.float64)


def exactly(function: Callable) -> Callable:
    """`function` without its rounding: its program for float32, computed in float64.

    The program is the one that jax traces for float32, so that all of it is the same but the
    rounding: random bits, masks, constants, and which form of a layer is chosen for what. Arrays
    of float64, as this returns, are taken as they are.
    """

    @jax.jit
    def wide(*args):
        with jax.enable_x64(False):
            narrow = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, _narrow(x.dtype)), args)
            program, shapes = jax.make_jaxpr(function, return_shape=True)(*narrow)
        results = _evaluate(program, *jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    @functools.wraps(function)
    def run(*args):
        with jax.enable_x64(True):
            results = wide(*jax.tree.map(_wide, args))
        # As arrays of numpy, because jax takes none of float64 elsewhere.
        return jax.tree.map(lambda x: np.asarray(x) if x.dtype == np.float64 else x, results)

    return run


def exact_chunk(step: Callable, to_batch: Callable, mesh: Any, lives: Any = None) -> Callable:
    """`gans.parallel.jit_chunk` in float64, to be put in its place: a whole run without rounding.

    Of what its state is given to, samples and checkpoints take it as float32 or as it is, and the
    evaluators are best left out.
    """
    del mesh, lives
    one = exactly(lambda state, resident, row: step(state, to_batch(resident, row)))

    def chunk(state, resident, feed):
        metrics = []
        for i in range(len(jax.tree.leaves(feed)[0])):
            row = jax.tree.map(lambda x, i=i: np.asarray(x[i]), feed)
            state, report = one(state, resident, row)
            metrics.append(report)
        return state, jax.tree.map(lambda *x: np.stack(x), *metrics)

    return chunk


def _narrow(dtype: Any) -> Any:
    return np.float32 if dtype == np.float64 else dtype


def _wide(x: Any) -> jax.Array:
    """An array, of float64 instead of float32."""
    if not hasattr(x, "dtype"):
        with jax.enable_x64(False):
            x = np.asarray(x, jax.dtypes.result_type(x))
    return jnp.asarray(x, np.float64) if x.dtype == np.float32 else jnp.asarray(x)


def _evaluate(program: ClosedJaxpr, *args: jax.Array) -> list[jax.Array]:
    """What a program for float32 makes of float64."""
    jaxpr = program.jaxpr
    values = dict(zip(jaxpr.constvars, map(_wide, program.consts), strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom):
        if isinstance(atom, Literal):
            return _wide(np.asarray(atom.val, atom.aval.dtype))
        return values[atom]

    for equation in jaxpr.eqns:
        rule = _RULES.get(equation.primitive.name, _bind)
        results = rule(equation, *map(read, equation.invars))
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _bind(equation: Any, *args: jax.Array) -> list[jax.Array]:
    params = {
        name: np.dtype(np.float64) if _is_float32(value) else value
        for name, value in equation.params.items()
    }
    results = equation.primitive.bind(*args, **params)
    return results if equation.primitive.multiple_results else [results]


def _is_float32(value: Any) -> bool:
    return isinstance(value, np.dtype | type) and value in (np.dtype(np.float32), np.float32)


def _closed(program: Any) -> ClosedJaxpr:
    return program if isinstance(program, ClosedJaxpr) else ClosedJaxpr(program, ())


def _call(equation: Any, *args: jax.Array) -> list[jax.Array]:
    params = equation.params
    return _evaluate(_closed(params["jaxpr" if "jaxpr" in params else "call_jaxpr"]), *args)


def _bits(equation: Any, x: jax.Array) -> list[jax.Array]:
    """Numbers from random bits are what they are: no float64 has those bits."""
    x = x.astype(np.float32) if x.dtype == np.float64 else x
    return [_wide(jax.lax.bitcast_convert_type(x, equation.params["new_dtype"]))]


def _scan(equation: Any, *args: jax.Array) -> list[jax.Array]:
    params = equation.params
    carried = params["num_consts"] + params["num_carry"]
    consts, carry = args[: params["num_consts"]], args[params["num_consts"] : carried]

    def body(carry, xs):
        results = _evaluate(params["jaxpr"], *consts, *carry, *xs)
        return tuple(results[: len(carry)]), tuple(results[len(carry) :])

    where = {name: params[name] for name in ("length", "reverse")}
    carry, ys = jax.lax.scan(body, tuple(carry), tuple(args[carried:]), **where)
    return [*carry, *ys]


def _while(equation: Any, *args: jax.Array) -> list[jax.Array]:
    params = equation.params
    of_cond, of_body = params["cond_nconsts"], params["body_nconsts"]
    cond_consts, body_consts = args[:of_cond], args[of_cond : of_cond + of_body]
    return jax.lax.while_loop(
        lambda carry: _evaluate(params["cond_jaxpr"], *cond_consts, *carry)[0],
        lambda carry: _evaluate(params["body_jaxpr"], *body_consts, *carry),
        list(args[of_cond + of_body :]),
    )


def _cond(equation: Any, index: jax.Array, *args: jax.Array) -> list[jax.Array]:
    branches = [functools.partial(_evaluate, branch) for branch in equation.params["branches"]]
    # An integer is the platform's: see `_platform`.
    if isinstance(index, int):
        return branches[index](*args)
    return jax.lax.switch(index, branches, *args)


def _platform(equation: Any) -> list[int]:
    """Which branch of `jax.lax.platform_dependent` is the one for this platform."""
    of_branches = equation.params["platforms"]
    return [
        i for i, names in enumerate(of_branches) if names is None or jax.default_backend() in names
    ][:1]


_RULES = {
    **dict.fromkeys(("jit", "pjit", "closed_call", "core_call", "checkpoint", "remat2"), _call),
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"), _call),
    "bitcast_convert_type": _bits,
    "reduce_precision": lambda equation, x: [x],
    "scan": _scan,
    "while": _while,
    "cond": _cond,
    "platform_index": _platform,
}
