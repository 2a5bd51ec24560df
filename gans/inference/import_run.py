"""A run folder made of weights that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from gans.config import build
from gans.config.build import Experiment
from gans.core.state import GanState
from gans.core.types import Game, Latent
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.files import paths, weight_files
from gans.inference import pytorch_weights
from gans.runs import run_folder
from gans.runs.checkpoints import Checkpoints


def run(config: ConfigDict, workdir: str | Path, files: Mapping[str, str | Path]) -> None:
    """Makes a run folder with a checkpoint of step 0.

    Args:
      config: of an experiment that translates images.
      workdir: the folder, absent or empty.
      files: state dicts by network: see `weight_files.load` and `pytorch_weights.convert`.

    Raises:
      UserError: the folder is in use, or a file does not fit the config; nothing is written.
    """
    workdir = paths.expanded(workdir)
    if not files:
        raise UserError(
            f"There is nothing to import: give one or more of --{', --'.join(config.nets)}."
        )
    if workdir.exists() and not (workdir.is_dir() and not any(workdir.iterdir())):
        raise UserError(f"{workdir} is there already and not empty; choose another --workdir.")
    if missing := [name for name in files if name not in config.nets]:
        raise UserError(f"The config has no network {missing[0]}: it has {', '.join(config.nets)}.")
    state, info = _imported(build.experiment(config), files)
    with run_folder.locked(workdir):
        run_folder.note(workdir, config, info)
        with Checkpoints(workdir / "checkpoints", keep=config.checkpoint.keep) as checkpoints:
            checkpoints.save(0, state, {"iteration": 0})


def _imported(experiment: Experiment, files: Mapping[str, str | Path]) -> tuple[GanState, DataInfo]:
    """The state at step 0 with the weights of the files, and what is known of the data."""
    data = experiment.config.data
    # No images yet; training fills in how many.
    shape = (data.image_size, data.image_size, data.channels)
    info = DataInfo(0, shape, domains=_domains(experiment.game))
    start, key = experiment.start(info), jax.random.key(experiment.config.seed)
    with build.fitting():
        shapes = jax.eval_shape(start, key)
    imported = {}
    for name, path in files.items():
        weights = weight_files.load(paths.expanded(path))
        try:
            imported[name] = pytorch_weights.convert(
                weights, experiment.nets[name], shapes.nets[name].params
            )
        except UserError as error:
            raise UserError(f"{path} does not fit the config's nets.{name}: {error}") from None
    state = jax.jit(start)(key)
    nets = dict(state.nets)
    for name, params in imported.items():
        params = jax.tree.map(jnp.asarray, params)
        averaged = None if nets[name].ema_params is None else params
        nets[name] = nets[name].replace(params=params, ema_params=averaged)
    return state.replace(nets=nets), info


def _domains(game: Game) -> tuple[str, ...]:
    """What its domains are called as long as no data set says it.

    Raises:
      UserError: the game is no translation.
    """
    if isinstance(game.makes, Latent):
        raise UserError("Weights are imported into a config of a game that translates images.")
    names = {name for way in game.makes.values() for name in (way.source, way.target)}
    return tuple(name.upper() for name in sorted(names))
