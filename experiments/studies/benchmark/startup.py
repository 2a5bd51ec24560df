"""How long a run takes to its first step, with nothing compiled yet and with all at hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from gans.errors import UserError

_PATIENCE = 1200  # seconds
_SHORT = {"train.num_steps": 2, "train.steps_per_call": 1, "train.log_every": 1}


def measure(path: str, config: ConfigDict, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Trains twice for a few steps, in folders of their own with one cache of programs.

    Args:
      path: of the config file, as `--config` takes it.
      config: what is in it, changed.
      changes: which of its fields were, and to what.

    Returns:
      `cold_seconds` and `warm_seconds` from the command to the end of the first step.

    Raises:
      UserError: training failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder, "cache")
        short = dict(changes) | _SHORT
        for name in config.get("evaluators", {}):
            short[f"evaluators.{name}.every_steps"] = 0
        cold, warm = (_seconds(path, short, Path(folder, name), cache) for name in ("a", "b"))
    seconds = {"cold_seconds": round(cold, 2), "warm_seconds": round(warm, 2)}
    return {"config": path, "changes": dict(changes), **seconds}


def _seconds(path: str, changes: Mapping[str, Any], workdir: Path, cache: Path) -> float:
    """From the start of the command to the time of the first line of metrics."""
    command = [sys.executable, "-m", "experiments.train", f"--config={path}"]
    command += [f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in changes.items())]
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    environment.pop("GLIBC_TUNABLES", None)  # which the command is to set for itself
    start = time.time()
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"experiments.train --config={path} had not made two steps after {_PATIENCE} s."
        ) from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"experiments.train --config={path} failed: {last}")
    line = (workdir / "metrics.jsonl").read_text().splitlines()[0]
    return json.loads(line)["time"] - start
