"""Every config builds, says what the tutorials say, and trains in its small form."""

import importlib
import pathlib

import jax
import pytest

from gans import build, runs, train
from gans.data.source import DataInfo
from gans.errors import UserError

FOLDER = pathlib.Path(__file__).parents[1] / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def get(name, arg=""):
    return importlib.import_module(f"configs.{name}").get_config(arg)


@pytest.mark.parametrize("name", NAMES)
def test_the_small_form_trains_to_its_end(name, tmp_path):
    config = get(name, "test")
    config.mesh.data = 1
    state = train.run(config, tmp_path)
    assert state.step == config.train.num_steps
    assert (tmp_path / "samples.gif").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_form_that_does_not_exist_is_an_error(name):
    with pytest.raises(ValueError, match="no form :tiny"):
        get(name, "tiny")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_locked_and_survives_its_run_folder(name, tmp_path):
    config = get(name)
    with pytest.raises(AttributeError):
        config.train.num_step = 3
    info = DataInfo(10, (32, 32, config.data.channels), ())
    runs.note(tmp_path, config, info)
    assert runs.to_plain(runs.read_config(tmp_path)) == runs.to_plain(config)
    assert runs.read_info(tmp_path) == info
    runs.check(tmp_path, config)


@pytest.mark.parametrize(
    "name, overrides, generator, discriminator",
    [
        ("dcgan_cifar10", {}, (1_050_883, 1_051_267), (393_409, 394_305)),
        ("cgan_cifar10", {}, (1_132_803, 1_133_187), (2_492_609, 2_493_505)),
        (
            "cgan_cifar10",
            {"nets.discriminator.strides": (2, 2, 2, 2)},
            (1_132_803, 1_133_187),
            (919_745, 920_641),
        ),
    ],
)
def test_parameter_counts_are_the_tutorials(name, overrides, generator, discriminator):
    config = get(name)
    config.update_from_flattened_dict(overrides)
    classes = tuple("0123456789") if config.data.labels else ()
    info = DataInfo(60_000, (32, 32, 3), classes)
    state = jax.eval_shape(build.start(config, build.game(config), info), jax.random.key(0))
    for net, (trainable, total) in {"generator": generator, "discriminator": discriminator}.items():
        sizes = [
            sum(leaf.size for leaf in jax.tree.leaves(tree))
            for tree in (state.nets[net].params, state.nets[net].model_state)
        ]
        assert (sizes[0], sum(sizes)) == (trainable, total)


@pytest.mark.parametrize("name", ["dcgan_cifar10", "cgan_cifar10"])
def test_the_tutorial_configs_hold_the_tutorials_constants(name):
    config = get(name)
    assert config.data.split == "train+test" and config.data.batch_size == 32
    assert config.train.num_steps == 20 * 60_000 // 32 == 37_500
    assert config.train.sample_every == 100 and config.game.latent_dim == 100
    for optim in config.optim.values():
        assert (optim.learning_rate, optim.b1, optim.b2, optim.eps) == (2e-4, 0.5, 0.999, 1e-7)
    assert (config.preview.rows, config.preview.columns) == (
        (4, 3) if name.startswith("dcgan") else (1, 3)
    )


def test_a_schedule_ends_with_the_run_for_a_network_that_moves_twice_an_iteration():
    config = get("dcgan_cifar10", "test")
    config.train.num_steps = 2
    for optim in config.optim.values():
        optim.update(name="sgd", learning_rate=1.0, schedule="linear")
    start = build.start(config, build.game(config), DataInfo(64, (32, 32, 3), ()))
    nets = jax.jit(start)(jax.random.key(0)).nets
    for net, rates in {"generator": [1, 0.5, 0], "discriminator": [1, 0.75, 0.5, 0.25, 0]}.items():
        params, tx = {"w": jax.numpy.ones(())}, nets[net].tx
        opt_state = tx.init(params)
        for rate in rates:
            updates, opt_state = tx.update(params, opt_state)
            assert float(updates["w"]) == pytest.approx(-rate)


def test_image_size_and_channels_reach_the_networks_from_one_field():
    config = get("dcgan_cifar10")
    config.update_from_flattened_dict({"data.image_size": 64, "data.channels": 1})
    nets = build.nets(config)
    assert (nets["generator"].image_size, nets["generator"].channels) == (64, 1)


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("loss.adversarial", "hinges", "No adversarial loss is called 'hinges'; .*hinge"),
        ("game.name", "latent.tripple", "no gans.games.latent.tripple|There is no gans.games"),
        ("nets.generator.name", "dcgam.Generator", "There is no gans.models.dcgam.Generator"),
        ("optim.generator.name", "adamm", "No optimizer is called 'adamm'"),
        ("optim.generator.schedule", "cosines", "No schedule is called 'cosines'"),
        ("data.name", "mnist", "There is no gans.data.mnist"),
        ("data.split", "trian", "trian"),
        ("mesh.data", 1000, "1000 devices"),
        ("data.batch_size", 0, "data.batch_size"),
        ("train.steps_per_call", 0, "train.steps_per_call"),
        ("seed", -1, "seed is -1"),
        ("optim.generator.ema_decay", 1.0, "ema_decay is 1.0"),
        ("nets.generator.dtype", "bf16", "networks do not fit.*bf16"),
        ("nets.discriminator.strides", (2, 2), "networks do not fit.*strides"),
        ("nets.discriminator.features", (4, 8, 0, 8), "networks do not fit"),
    ],
)
def test_a_wrong_value_is_refused_in_one_sentence_before_a_run_folder_is_made(
    config, tmp_path, path, value, message
):
    config.update_from_flattened_dict({path: value})
    with pytest.raises(UserError, match=message):
        train.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_field_that_a_network_does_not_have_names_the_nearest(config):
    config.unlock()
    config.nets.generator.fetures = (1, 2)
    with pytest.raises(UserError, match="no field 'fetures': did you mean 'features'"):
        build.nets(config)


def test_weights_must_name_the_terms_of_the_game(config):
    config.unlock()
    config.loss.weights.cycle = 10.0
    with pytest.raises(UserError, match="the terms of the game .* are"):
        build.game(config)


def test_labels_are_refused_where_the_data_has_none(config, tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    config.update_from_flattened_dict({"data.name": "folder", "data.data_dir": str(tmp_path)})
    config.data.split = "train"
    with pytest.raises(UserError, match="data.labels asks for labels"):
        build.data_source(config.data).info(config.data.labels)
