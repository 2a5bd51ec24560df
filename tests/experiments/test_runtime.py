"""What commands set before JAX starts, each in a process of its own."""

import ast
import os
import pathlib
import platform
import subprocess
import sys

import pytest

COMPUTE = """
import jax, jax.numpy as jnp, resource
f = jax.jit(lambda x: (x.T @ x) @ x.T)  # 64 MiB between two products
x = jnp.ones((8, 4096))
faults = []
for _ in range(60):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    f(x).block_until_ready()
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(sorted(faults)[len(faults) // 2])
"""


def run(code, *arguments, **changes):
    ours = ("JAX_", "GLIBC_TUNABLES")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"JAX_PLATFORMS": "cpu"} | changes
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def asks_for_large_pages():
    """Whether large pages are left to programs, and glibc, from 2.35 on, asks for them."""
    enabled = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    library, version = platform.libc_ver()
    is_new = library == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return is_new and enabled.exists() and "[madvise]" in enabled.read_text()


@pytest.mark.skipif(not asks_for_large_pages(), reason="large pages are not glibc's to ask for")
def test_memory_of_a_step_is_used_again():
    pages = 2**26 // os.sysconf("SC_PAGESIZE")
    keep = "from experiments import runtime; runtime.keep_freed_memory()"
    # In the middle of many: heaps grow a few times before all pieces have their place.
    assert int(run(COMPUTE)) > pages // 2
    assert int(run(keep + COMPUTE)) < pages // 20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_a_program_begins_anew_with_its_arguments_and_once():
    code = (
        "import os, sys; print(os.getpid(), sys.argv[1:], flush=True);"
        "from experiments import runtime; runtime.prepare(); runtime.prepare();"
        "print('glibc.malloc' in os.environ['GLIBC_TUNABLES'])"
    )
    first, again, kept = run(code, "--one=a b", "").splitlines()
    assert first == again and first.endswith("['--one=a b', '']")
    assert kept == "True"


def test_memory_settings_of_ones_own_are_left_as_they_are():
    code = (
        "import os; print('once', flush=True); from experiments import runtime; runtime.prepare();"
        "print(os.environ['GLIBC_TUNABLES'])"
    )
    own = "glibc.malloc.tcache_count=3"
    assert run(code, GLIBC_TUNABLES=own).splitlines() == ["once", own]


def test_programs_are_found_again(tmp_path):
    code = (
        "from experiments import runtime; runtime.prepare()"
        + """
import jax, jax.numpy as jnp
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: jnp.linalg.svd(jnp.sort(x @ x)))(jnp.ones((16, 16)))
print(sum(name == "/jax/compilation_cache/cache_hits" for name in hits))
"""
    )
    where = {"XDG_CACHE_HOME": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    assert int(run(code, **where)) == 0
    assert int(run(code, **where)) > 0
    assert any((tmp_path / "gans" / "programs").iterdir())


def test_programs_are_kept_beside_those_of_others(tmp_path):
    code = (
        "from experiments import runtime; runtime.keep_programs(); "
        "import sys; sys.stderr = sys.stdout; import jax; "
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0); "
        "print(jax.jit(lambda x: x * 3 + 1)(2.0))"
    )
    # Written without a limit, and so without a time of access.
    (tmp_path / "jit_theirs-0123-cache").write_bytes(b"theirs")
    assert run(code, JAX_COMPILATION_CACHE_DIR=str(tmp_path)) == "7.0"  # and no warning
    assert (tmp_path / "jit_theirs-0123-cache").read_bytes() == b"theirs"
    assert len(list(tmp_path.glob("jit*-cache"))) > 1


def test_a_cache_of_ones_own_is_left_as_it_is(tmp_path):
    code = (
        "import os; from experiments import runtime; runtime.keep_programs();"
        "print({k: v for k, v in os.environ.items() if 'CACHE' in k and k.startswith('JAX_')})"
    )
    own = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    kept = ast.literal_eval(run(code, **own))
    # No limit: what others keep there is not ours to delete.
    assert kept == own | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1"}
    assert ast.literal_eval(run(code))["JAX_COMPILATION_CACHE_MAX_SIZE"] == str(2**30)
    own |= {"JAX_COMPILATION_CACHE_MAX_SIZE": "-1"}
    own |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "3"}
    assert ast.literal_eval(run(code, **own)) == own
