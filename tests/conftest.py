"""Settings that must stand before anything imports jax or keras."""

import gc
import importlib
import math
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
from jax._src import compiler  # noqa: E402

# Eight simulated devices, for the tests of several; the others use the first.
jax.config.update("jax_num_cpu_devices", 8)


class QuickCompiler:
    """XLA with its earlier way of writing fused loops, which takes half the time to compile.

    It rounds a number by where in an array it stands, so two programs that compute the same are
    not equal to the last bit, as they are in use: tests of that are marked `as_in_use`.
    """

    _OPTION = {"xla_cpu_use_fusion_emitters": False}
    _FLAG = " --xla_cpu_use_fusion_emitters=false"

    def __init__(self):
        self._flags, self._added = os.environ["XLA_FLAGS"], {}
        try:
            jax.jit(lambda x: x + 1).lower(1.0).compile(compiler_options=self._OPTION)
            self._options = compiler.get_compile_options
        except (AttributeError, jax.errors.JaxRuntimeError):
            self._OPTION, self._FLAG = {}, ""  # another version, which has but one way
        else:
            compiler.get_compile_options = self._get

    def _get(self, *args, env_options_overrides=None, **options):
        added = self._added | (env_options_overrides or {})
        return self._options(*args, env_options_overrides=added, **options)

    def switch(self, on):
        """Whether it is used from now on, here and in processes that tests start."""
        added = self._OPTION if on else {}
        if added != self._added:
            self._added = added
            os.environ["XLA_FLAGS"] = self._flags + (self._FLAG if on else "")
            jax.clear_caches()


quick_compiler = QuickCompiler()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    quick_compiler.switch(item.get_closest_marker("as_in_use") is None)


# Files that take half a minute and more are begun first, for the other process to end with short
# ones; each by its time in seconds.
SLOW = {
    "test_configs": 105,
    "test_train": 90,
    "test_hosts": 85,
    "test_parallel": 85,
    "test_keras_parity": 65,
    "test_replicas": 60,
    "test_benchmark": 55,
    "test_kill": 45,
    "test_convolution": 45,
    "test_curves": 30,
    "test_torch_parity": 30,
    "test_theory": 30,
    "test_cli": 30,
    "test_importing": 30,
}


@pytest.hookimpl(tryfirst=True)  # before those that `-m` leaves out are left out
def pytest_collection_modifyitems(items):
    """Marks as `processor` what `closeness` measures, all of a module that uses it; see `SLOW`."""
    for item in items:
        names = vars(item.module).values()
        if any(getattr(value, "__module__", None) == "closeness" for value in names):
            item.add_marker("processor")
    items.sort(key=lambda item: -SLOW.get(item.path.stem, 0))


def pytest_collection_finish():
    # What libraries have made stays: looking through it at every collection takes time.
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Gives back what modules have compiled: all of it together takes 5 GiB a process."""
    yield
    if _resident_gib() > 2.5:
        jax.clear_caches()
        gc.collect()


def _resident_gib():
    """Memory of this process; as much as there may be where the system does not say."""
    try:
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return math.inf
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**30


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
    from gans.training import train

    config = cyclegan_small.get_config("test")
    config.mesh.data = 1
    workdir = tmp_path_factory.mktemp("cycle_run")
    assert train.run(config, workdir).step == config.train.num_steps
    assert (workdir / "samples.gif").exists()
    return workdir
