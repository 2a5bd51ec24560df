"""The switch between the CPU's own forms and XLA's: either gives the same results and gradients."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from closeness import assert_no_further, exactly

from gans.ops import cpu
from gans.ops.convolution import convolution
from gans.ops.upsample import transposed_conv, upsample_conv

HERE = pathlib.Path(__file__)
FOLDERS = HERE.parents[2], HERE.parents[1], HERE.parent

# A function of an image, a kernel and a bias, and their shapes.
OPERATIONS = {
    "convolution": (convolution, (2, 5, 4, 5), (3, 3, 5, 7)),
    "strided": (functools.partial(convolution, stride=2), (1, 9, 7, 6), (4, 4, 6, 5)),
    "unpadded": (functools.partial(convolution, padding="VALID"), (2, 5, 6, 64), (3, 3, 64, 6)),
    "few features": (convolution, (2, 9, 8, 6), (7, 7, 6, 3)),
    "grouped": (functools.partial(convolution, feature_group_count=3), (2, 5, 4, 9), (3, 3, 3, 12)),
    "upsampled": (upsample_conv, (2, 3, 5, 4), (3, 3, 4, 6)),
    "transposed, 3x3": (transposed_conv, (2, 3, 5, 4), (3, 3, 4, 6)),
    "transposed, 4x4": (transposed_conv, (1, 5, 3, 4), (4, 4, 4, 6)),
    "transposed, few pixels": (transposed_conv, (1, 1, 3, 64), (4, 4, 64, 5)),
}


def arguments(name, dtype=jnp.float32):
    function, *shapes = OPERATIONS[name]
    shapes.append(shapes[-1][-1:])
    result = jax.eval_shape(function, *(jax.ShapeDtypeStruct(s, dtype) for s in shapes))
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=s), dtype) for s in (*shapes, result.shape)]


def with_gradients(name):
    """Another function at each call, because which form it takes is found when it is traced."""

    def run(x, kernel, bias, dy):
        y, backward = jax.vjp(OPERATIONS[name][0], x, kernel, bias)
        return y, *backward(dy)

    return run


def save(path):
    """Writes what all operations make in this process."""
    found = {name: jax.jit(with_gradients(name))(*arguments(name)) for name in OPERATIONS}
    np.savez(path, **{f"{name}/{i}": a for name in found for i, a in enumerate(found[name])})


def of_xla(monkeypatch, name):
    """What XLA's forms make of the arguments, and the same in float64."""
    monkeypatch.setattr(cpu, "ENABLED", False)
    plain, exact = (f(with_gradients(name))(*arguments(name)) for f in (jax.jit, exactly))
    monkeypatch.undo()
    return plain, exact


@pytest.mark.parametrize("name", OPERATIONS)
def test_either_gives_the_same_results_and_gradients(monkeypatch, name):
    fast = jax.jit(with_gradients(name))(*arguments(name))
    assert_no_further(fast, *of_xla(monkeypatch, name))


@pytest.mark.parametrize("name", OPERATIONS)
def test_xla_is_given_nothing_but_convolutions_where_the_forms_are_off(monkeypatch, name):
    def products():
        return jax.jit(with_gradients(name)).lower(*arguments(name)).as_text().count("dot_general")

    assert cpu.ENABLED
    assert products() > 0
    monkeypatch.setattr(cpu, "ENABLED", False)
    assert products() == 0


@pytest.mark.parametrize("name", OPERATIONS)
def test_either_keeps_bfloat16_and_its_precision(monkeypatch, name):
    rounded = arguments(name, jnp.bfloat16)
    for enabled in (True, False):
        monkeypatch.setattr(cpu, "ENABLED", enabled)
        found = jax.jit(with_gradients(name))(*rounded)
        exact = exactly(with_gradients(name))(*(a.astype(np.float32) for a in rounded))
        for a, b in zip(found, exact, strict=True):
            assert a.dtype == jnp.bfloat16
            # 8 bits of mantissa, of the result and of sums of taps.
            atol = 2**-7 * float(np.abs(b).max())
            np.testing.assert_allclose(a.astype(jnp.float32), b, rtol=2**-7, atol=atol)


def python(code, setting):
    """Runs code in another process with a value of the environment variable."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(map(str, FOLDERS)))
    environment.pop("GANS_CPU_KERNELS", None)
    if setting is not None:
        environment["GANS_CPU_KERNELS"] = setting
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize(("setting", "enabled"), [(None, "True"), ("1", "True"), ("0", "False")])
def test_the_environment_sets_the_switch(setting, enabled):
    assert python("from gans.ops import cpu; print(cpu.ENABLED)", setting) == enabled


def test_another_process_without_the_forms_finds_the_same(tmp_path, monkeypatch):
    python(f"import test_cpu; test_cpu.save({str(tmp_path / 'found.npz')!r})", "0")
    found = np.load(tmp_path / "found.npz")
    for name in OPERATIONS:
        ours = tuple(found[f"{name}/{i}"] for i in range(4))
        assert_no_further(ours, *of_xla(monkeypatch, name))
