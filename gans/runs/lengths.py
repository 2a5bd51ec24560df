"""Lengths in epochs of the data at hand.

A config whose lengths are in epochs has `train.epoch_steps`, the iterations of an epoch, and its
`train.num_steps`, `checkpoint.every_steps` and the like are references to it, multiplied: they
follow it, but for those that are set themselves. Until the data is known it is that of the data
set which the config is made for.
"""

from __future__ import annotations

import copy
import functools
import math
import operator
import re
from pathlib import Path

from ml_collections import ConfigDict

from gans.data.source import Source
from gans.data.unpaired import Unpaired
from gans.runs import run_folder

# Fields by which newer configs begin otherwise than did a run of before they existed, which goes
# on as it began, at its second start as at its first: without them.
_ADDED = re.compile(r"train\.(num_epochs|epoch_steps)|optim\.\w+\.ema_warmup")


def of_data(config: ConfigDict, source: Source | Unpaired) -> ConfigDict:
    """The config, its lengths in epochs of this data: whole iterations, the last maybe not full."""
    if "epoch_steps" not in config.train:
        return config
    config = copy.deepcopy(config)
    size = source.info(config.data.labels).size
    config.train.epoch_steps = math.ceil(size / config.data.batch_size)
    return config


def as_begun(workdir: Path, config: ConfigDict) -> ConfigDict:
    """The config as of the run in a folder, where the two can only differ by age or by data.

    Its lengths are those of the run's data, which is not loaded yet; what the run's version did
    not have is left out. Without a run there, it is the config itself.

    Raises:
      UserError: what is there cannot be read.
    """
    if not (workdir / "config.json").exists():
        return config
    began, config = run_folder.read_config(workdir), copy.deepcopy(config)
    if "epoch_steps" in config.train and "epoch_steps" in began.train:
        config.train.epoch_steps = began.train.epoch_steps
    with config.unlocked():
        for field in filter(_ADDED.fullmatch, run_folder.younger(workdir, config)):
            path, _, name = field.rpartition(".")
            del functools.reduce(operator.getitem, path.split("."), config)[name]
    return config
