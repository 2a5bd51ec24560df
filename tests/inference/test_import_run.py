"""Weights of PyTorch made into a run, by the command as it is typed."""

import pathlib
import re
import subprocess
import sys

import jax
import numpy as np
import pytest
import torch

from configs import cyclegan_monet2photo_resnet, dcgan_digits
from gans.config import build
from gans.data import unpaired
from gans.errors import UserError
from gans.inference import import_run
from gans.runs import run_folder
from gans.runs.checkpoints import Checkpoints
from gans.training import train

ROOT = pathlib.Path(__file__).parents[2]


def tensors(shapes, seed):
    """Convolutions' weights and biases, their outputs being the first axis but on the way up."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, shape in shapes.items():
        outputs = shape[1] if name in ("model.10", "model.13") else shape[0]
        found[f"{name}.weight"] = 0.1 * torch.randn(shape, generator=generator)
        found[f"{name}.bias"] = torch.randn(outputs, generator=generator)
    return found


# The networks of the config's form `:test`, but without a block, which compiles sooner.
GENERATOR = tensors(
    {
        "model.1": (4, 3, 7, 7),
        "model.4": (8, 4, 3, 3),
        "model.7": (16, 8, 3, 3),
        "model.10": (16, 8, 3, 3),
        "model.13": (8, 4, 3, 3),
        "model.17": (3, 4, 7, 7),
    },
    seed=1,
)
DISCRIMINATOR = tensors(
    {"model.0": (4, 3, 4, 4), "model.2": (8, 4, 4, 4), "model.5": (1, 8, 4, 4)}, seed=2
)


@pytest.fixture
def config():
    config = cyclegan_monet2photo_resnet.get_config("test")
    config.nets.generator_ab.blocks = 0
    return config


@pytest.fixture
def files(tmp_path):
    torch.save(GENERATOR, tmp_path / "latest_net_G.pth")
    torch.save(DISCRIMINATOR, tmp_path / "latest_net_D_A.pth")
    bias = torch.tensor([*range(7), float("nan")])
    torch.save({**GENERATOR, "model.4.bias": bias}, tmp_path / "not_finite.pth")
    return tmp_path


def kernel(weights, name):
    return weights[f"{name}.weight"].numpy().transpose(2, 3, 1, 0)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "experiments.import_pytorch", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_imported_weights_are_step_0_of_a_run_that_training_goes_on_with(files):
    workdir, generator = files / "run", files / "latest_net_G.pth"
    judge = files / "latest_net_D_A.pth"
    arguments = [
        "--config=configs/cyclegan_monet2photo_resnet.py:test",
        *("--config.data.image_size=16", "--config.nets.generator_ab.blocks=0"),
        *("--config.game.pool_size=0", "--config.mesh.data=1"),
        *("--config.train.num_steps=1", "--config.optim.generators.ema_decay=0.9"),
        *(f"--workdir={workdir}", f"--generator_ba={generator}", f"--discriminator_b={judge}"),
    ]
    made = command(*arguments)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [
        "generator_ab: no file given, begins untrained",
        f"generator_ba: {generator}",
        "discriminator_a: no file given, begins untrained",
        f"discriminator_b: {judge}",
        f"{workdir} is ready: go on with experiments.train, the same config and workdir.",
    ]

    config, info = run_folder.read_config(workdir), run_folder.read_info(workdir)
    start = build.of_run(config).start(info)
    target = jax.eval_shape(start, jax.random.key(0))
    restored = Checkpoints(workdir / "checkpoints", read_only=True).restore(target)
    nets = restored.state.nets
    assert restored.step == restored.state.step == 0
    first, last = kernel(GENERATOR, "model.1"), kernel(DISCRIMINATOR, "model.5")
    for params in (nets["generator_ba"].params, nets["generator_ba"].ema_params):
        np.testing.assert_array_equal(params["Conv_0"]["kernel"], first)
    np.testing.assert_array_equal(nets["discriminator_b"].params["Conv_2"]["kernel"], last)
    # The others begin as networks do, with deviation 0.02; imported ones have 0.1.
    for name in ("generator_ab", "discriminator_a"):
        assert 0.015 < np.std(nets[name].params["Conv_0"]["kernel"]) < 0.025

    # Training takes them up: Adam moves a number by a learning rate in its first step.
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    later = train.run(config, workdir, source=unpaired.source(images, images, image_size=16))
    moved = later.nets["generator_ba"].params["Conv_0"]["kernel"] - first
    np.testing.assert_allclose(np.abs(moved).max(), 2e-4, rtol=1e-2)
    assert run_folder.read_info(workdir).size == 2
    again = command(*arguments)
    assert again.returncode == 2
    assert again.stderr.splitlines() == [
        f"error: {workdir} is there already and not empty; choose another --workdir."
    ]


@pytest.mark.parametrize(
    ("chosen", "changes", "sentence"),
    [
        ({}, {}, "nothing to import: give one or more of --discriminator_a, "),
        ({"generator_ab": "absent.pth"}, {}, "absent.pth: No such file"),
        (
            {"generator_ab": "latest_net_G.pth", "generator_ba": "latest_net_D_A.pth"},
            {},
            "latest_net_D_A.pth does not fit the config's nets.generator_ba: the file has no "
            "model.1.weight of shape (4, 3, 7, 7), but has model.0.weight",
        ),
        (
            {"generator_ab": "latest_net_G.pth"},
            {"nets.generator_ab.features": 6},
            "model.1.weight has shape (4, 3, 7, 7) in the file, (6, 3, 7, 7) in the network",
        ),
        (
            {"generator_ab": "not_finite.pth"},
            {},
            "not_finite.pth: 1 of the 8 numbers in model.4.bias are not finite",
        ),
        (
            {"generator_ab": "latest_net_G.pth"},
            {"data.image_size": 30},
            "The networks do not fit: images of 30x30 pixels",
        ),
        (
            {"generator_ab": "latest_net_G.pth"},
            {"train.num_steps": 0},
            "train.num_steps is 0; it must be a whole number from 1",
        ),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(files, config, chosen, changes, sentence):
    config.update_from_flattened_dict(changes)
    chosen = {name: str(files / file) for name, file in chosen.items()}
    with pytest.raises(UserError, match=re.escape(sentence)):
        import_run.run(config, files / "run", chosen)
    assert not (files / "run").exists()


def test_a_config_without_two_generators_is_refused(files):
    with pytest.raises(UserError, match="has no network generator_ab: it has"):
        import_run.run(
            dcgan_digits.get_config("test"), files / "run", {"generator_ab": "latest_net_G.pth"}
        )


def test_a_folder_in_use_is_refused(files, config):
    for workdir in (files, files / "latest_net_G.pth"):
        before = workdir.stat().st_mtime_ns
        with pytest.raises(UserError, match="is there already and not empty"):
            import_run.run(config, workdir, {"generator_ab": files / "latest_net_G.pth"})
        assert workdir.stat().st_mtime_ns == before


def test_the_help_says_which_file_is_which_network():
    shown = command("--help").stdout
    assert "latest_net_D_A.pth    judges images of B    --discriminator_b" in shown
