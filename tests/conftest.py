"""Settings that must stand before anything imports jax or keras."""

import gc
import importlib
import os
import pathlib

os.environ["KERAS_BACKEND"] = "jax"
# The same small programs are compiled by many tests, and by the commands that some of them start.
cache = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"
os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

# Compiling takes most of the time, and the tests ask for right numbers, not for fast ones.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
    ]
)

import jax  # noqa: E402
import pytest  # noqa: E402

# Eight simulated devices, for the tests of several; the others use the first.
jax.config.update("jax_num_cpu_devices", 8)


@pytest.hookimpl(tryfirst=True)  # before those that `-m` leaves out are left out
def pytest_collection_modifyitems(items):
    """Marks as `processor` what is measured by `closeness`, in all of a module that uses it."""
    for item in items:
        names = vars(item.module).values()
        if any(getattr(value, "__module__", None) == "closeness" for value in names):
            item.add_marker("processor")


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Gives back what a module has compiled: all of it together takes 5 GiB a process."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def config():
    """The conditional digits experiment in its small form, on one device."""
    from configs import cgan_digits

    config = cgan_digits.get_config("test")
    config.mesh.data = 1
    return config


@pytest.fixture(scope="session")
def torch_fidelity():
    """The package.

    It imports torchvision, which fails beside another build of PyTorch than its own, as that for
    CPUs alone, for want of two operators. Nothing here uses them, so their names are enough.
    """
    import torch

    try:
        return importlib.import_module("torch_fidelity")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor boxes, Tensor scores, float threshold) -> Tensor")
        return importlib.import_module("torch_fidelity")


@pytest.fixture(scope="session")
def cycle_run(tmp_path_factory):
    """The run folder of a small CycleGAN, with checkpoints of steps 2 and 4."""
    from configs import cyclegan_small
    from gans import train

    config = cyclegan_small.get_config("test")
    config.mesh.data = 1
    workdir = tmp_path_factory.mktemp("cycle_run")
    train.run(config, workdir)
    return workdir
