"""Every config builds, says what the tutorials say, and trains in its small form."""

import importlib
import pathlib

import jax
import numpy as np
import pytest

from gans.config import build, schema
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.runs import run_folder
from gans.training import train

FOLDER = pathlib.Path(__file__).parents[2] / "configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
# Whose small form is trained to its end by `test_cli` and by the fixture `cycle_run`.
TRAINED_ELSEWHERE = {"cgan_digits", "cyclegan_small"}


def get(name, arg=""):
    return importlib.import_module(f"configs.{name}").get_config(arg)


@pytest.mark.parametrize("name", sorted(set(NAMES) - TRAINED_ELSEWHERE))
def test_the_small_form_trains_to_its_end(name, tmp_path):
    config = get(name, "test")
    config.mesh.data = 1
    state = train.run(config, tmp_path)
    assert state.step == config.train.num_steps
    stored = run_folder.read_config(tmp_path)
    if "epoch_steps" in stored.train:
        epoch = run_folder.read_info(tmp_path).size
        assert stored.train.epoch_steps == epoch
        assert stored.evaluators.quality.every_steps == 5 * epoch
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
    run_folder.note(tmp_path, config, info)
    mine = schema.flatten(schema.to_plain(config))
    found = schema.flatten(schema.to_plain(run_folder.read_config(tmp_path)))
    assert {field: found.pop(field) for field in mine} == mine
    # What only other configs have is read as what it is without.
    assert {field.rpartition(".")[2]: value for field, value in found.items()} in (
        {},
        {"shared_count": False},
    )
    assert run_folder.read_info(tmp_path) == info
    run_folder.check(tmp_path, config)


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
    state = jax.eval_shape(build.of_run(config).start(info), jax.random.key(0))
    for net, (trainable, total) in {"generator": generator, "discriminator": discriminator}.items():
        sizes = [
            sum(leaf.size for leaf in jax.tree.leaves(tree))
            for tree in (state.nets[net].params, state.nets[net].model_state)
        ]
        assert (sizes[0], sum(sizes)) == (trainable, total)


# The two published settings of CycleGAN.
CYCLES = {
    "cyclegan_monet2photo": (54_414_979, 2_765_569),
    "cyclegan_monet2photo_resnet": (11_378_179, 2_764_737),
}
PAIRS = {"generator_ab": "generator_ba", "discriminator_a": "discriminator_b"}


def start_cycle(config):
    size = config.data.image_size
    info = DataInfo(6287, (size, size, 3), (), ("Monet", "photo"), (1072, 6287))
    return build.of_run(config).start(info)


@pytest.mark.parametrize("name", CYCLES)
def test_parameter_counts_are_those_of_cyclegan(name):
    state = jax.eval_shape(start_cycle(get(name)), jax.random.key(0))
    for (net, twin), count in zip(PAIRS.items(), CYCLES[name], strict=True):
        for each in (net, twin):
            assert sum(leaf.size for leaf in jax.tree.leaves(state.nets[each].params)) == count
            assert not jax.tree.leaves(state.nets[each].model_state)
    pools = {name: pool.images.shape for name, pool in state.memory.items()}
    shape = (50, 256, 256, 3)
    assert pools == ({} if name == "cyclegan_monet2photo" else {"fake_a": shape, "fake_b": shape})


def test_resnets_of_6_blocks_are_a_field_away():
    config = get("cyclegan_monet2photo_resnet")
    config.nets.generator_ab.blocks = 6
    config.data.image_size = 128
    state = jax.eval_shape(start_cycle(config), jax.random.key(0))
    for net in ("generator_ab", "generator_ba"):
        assert sum(leaf.size for leaf in jax.tree.leaves(state.nets[net].params)) == 7_837_699


@pytest.mark.parametrize("name", CYCLES)
def test_both_settings_of_cyclegan_share_what_is_published_of_both(name):
    config = get(name)
    assert (config.data.load_size, config.data.image_size, config.data.flip) == (286, 256, True)
    assert config.data.batch_size == 1 and config.data.dataset == "monet2photo"
    weights = {"adversarial": 1.0, "cycle": 10.0, "identity": 5.0, "real": 0.5, "fake": 0.5}
    for term, weight in config.loss.weights.items():
        assert weight == weights[term.split("_")[0]]
    for optim in config.optim.values():
        assert (optim.learning_rate, optim.b1, optim.b2) == (2e-4, 0.5, 0.999)
        assert optim.ema_decay == 0.0
    for net in config.nets.values():
        assert net.dtype == "float32"


def test_the_tutorials_cyclegan_holds_its_constants():
    config = get("cyclegan_monet2photo")
    assert config.loss.adversarial == "non_saturating" and config.game.pool_size == 0
    assert set(config.optim) == set(config.nets)
    for optim in config.optim.values():
        assert (optim.name, optim.eps, optim.schedule) == ("keras_adam", 1e-7, "constant")
    assert config.data.resize == "nearest"
    assert config.train.num_steps == 20 * 6287
    assert (config.checkpoint.every_steps, config.checkpoint.keep) == (5 * 6287, 5)
    generator, discriminator = config.nets.generator_ab, config.nets.discriminator_a
    assert generator.name == "unet.Generator" and len(generator.features) == 8
    assert (generator.dropout, generator.slope, discriminator.slope) == (0.5, 0.3, 0.3)


def test_the_papers_cyclegan_holds_its_constants():
    config = get("cyclegan_monet2photo_resnet")
    assert config.loss.adversarial == "least_squares" and config.game.pool_size == 50
    assert set(config.optim) == {"generators", "discriminators"}
    for optim in config.optim.values():
        assert (optim.name, optim.eps, optim.schedule) == ("adam", 1e-8, "constant_linear")
    assert config.data.resize == "bicubic"
    assert config.train.num_steps == 200 * 6287
    generator, discriminator = config.nets.generator_ab, config.nets.discriminator_a
    assert (generator.name, generator.blocks) == ("resnet.Generator", 9)
    assert (discriminator.depth, discriminator.slope, discriminator.affine) == (3, 0.2, False)


@pytest.mark.parametrize("name", CYCLES)
def test_kernels_of_cyclegan_start_from_a_normal_of_002(name):
    config = get(name, "test")
    nets = jax.jit(start_cycle(config))(jax.random.key(0)).nets
    for net, state in nets.items():
        leaves = jax.tree_util.tree_leaves_with_path(state.params)
        kernels = np.concatenate([x.ravel() for path, x in leaves if path[-1].key == "kernel"])
        # Of n numbers the mean strays by 0.02 / sqrt(n), the deviation by that / sqrt(2).
        strays = 0.02 / np.sqrt(kernels.size)
        assert kernels.size > 500, net
        assert kernels.mean() == pytest.approx(0.0, abs=4 * strays)
        assert kernels.std() == pytest.approx(0.02, abs=3 * strays)
        # 4.6% lie beyond two deviations: of a uniform distribution none would.
        assert 0.03 < np.mean(np.abs(kernels) > 0.04) < 0.07
        for path, x in leaves:
            if path[-1].key == "bias":
                assert not np.asarray(x).any()
    for net, twin in PAIRS.items():
        assert any((a != b).any() for a, b in zip(*kernels_of(nets, net, twin), strict=True))


def kernels_of(nets, *names):
    return [[x for x in jax.tree.leaves(nets[name].params) if x.ndim == 4] for name in names]


@pytest.mark.parametrize("name", CYCLES)
@pytest.mark.parametrize("net", PAIRS)
def test_a_network_follows_its_twin_but_for_what_is_set_for_itself(name, net):
    config, twin = get(name), PAIRS[net]
    assert config.nets[twin].to_dict() == config.nets[net].to_dict()
    own = "features" if net == "discriminator_a" else "channels"
    config.update_from_flattened_dict({f"nets.{net}.{own}": 7, f"nets.{net}.dtype": "bfloat16"})
    assert (config.nets[twin][own], config.nets[twin].dtype) == (7, "bfloat16")
    config.nets[twin].dtype = "float16"
    assert (config.nets[net].dtype, config.nets[twin][own]) == ("bfloat16", 7)


@pytest.mark.parametrize("name", CYCLES)
def test_a_weight_of_both_directions_reaches_both_and_one_of_a_direction_its_own(name):
    config = get(name)
    config.loss.identity, config.loss.cycle = 0.25, 3.0
    weights = config.loss.weights
    assert (weights.identity_a, weights.identity_b) == (0.25, 0.25)
    assert (weights.cycle_a, weights.cycle_b) == (3.0, 3.0)
    weights.identity_a = 2.0
    assert (weights.identity_a, weights.identity_b) == (2.0, 0.25)
    weights = {term: float(w) for term, w in weights_of(config).items()}
    assert (weights["identity_a"], weights["identity_b"], weights["cycle_b"]) == (2.0, 0.25, 3.0)


def weights_of(config):
    small = get("cyclegan_monet2photo", "test")
    small.loss.weights.update(config.loss.weights.to_dict())
    return jax.jit(lambda key: start_cycle(small)(key).weights)(jax.random.key(0))


def test_an_optimizer_is_a_networks_own_or_its_players():
    config = get("cyclegan_monet2photo_resnet", "test")
    with config.unlocked():
        config.optim.generator_ba = dict(config.optim.generators, name="sgd", learning_rate=0.5)
    state = jax.eval_shape(start_cycle(config), jax.random.key(0))
    params = {"w": jax.numpy.ones(())}
    moved = {}
    for name, net in state.nets.items():
        updates, _ = net.tx.update(params, net.tx.init(params))
        moved[name] = float(updates["w"])
    # The first step of Adam is the learning rate, whatever the gradient.
    assert moved.pop("generator_ba") == -0.5
    assert moved == pytest.approx(dict.fromkeys(moved, -2e-4), rel=1e-4)
    with config.unlocked():
        del config.optim["discriminators"]
    with pytest.raises(UserError, match="neither optim.discriminator_a nor optim.discriminators"):
        start_cycle(config)


def test_weights_of_the_cycle_game_must_name_its_terms():
    config = get("cyclegan_monet2photo", "test")
    with config.unlocked():
        del config.loss.weights["identity_a"]
    build.game(config)  # which can do without it
    with config.unlocked():
        del config.loss.weights["real_a"]
    with pytest.raises(UserError, match="the terms of the game cycle.game are"):
        build.game(config)


def test_a_misspelt_field_of_a_cyclegan_network_names_the_nearest():
    config = get("cyclegan_monet2photo_resnet")
    with config.unlocked():
        config.nets.generator_ba.block = 6
    message = "nets.generator_ba.name has no field 'block': did you mean 'blocks'"
    with pytest.raises(UserError, match=message):
        build.nets(config)


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
    start = build.of_run(config).start(DataInfo(64, (32, 32, 3), ()))
    nets = jax.jit(start)(jax.random.key(0)).nets
    for net, rates in {"generator": [1, 0.5, 0], "discriminator": [1, 0.75, 0.5, 0.25, 0]}.items():
        params, tx = {"w": jax.numpy.ones(())}, nets[net].tx
        opt_state = tx.init(params)
        for rate in rates:
            updates, opt_state = tx.update(params, opt_state)
            assert float(updates["w"]) == pytest.approx(-rate)


def test_one_adam_for_both_models_counts_the_moves_of_both():
    config = get("dcgan_cifar10", "test")
    for spec in config.optim.values():
        assert not spec.shared_count
        spec.update(shared_count=True, eps=0.0, learning_rate=1.0)
    # Of a gradient that stays the same a step is sqrt(1 - b2^t) / (1 - b1^t), times its moments'
    # own b1 and b2 by the number of its own moves.
    for net, counts in {"generator": [3, 6], "discriminator": [1, 2, 4, 5]}.items():
        tx, params = build.of_run(config).optimizers()[net], {"w": jax.numpy.ones(())}
        opt_state = tx.init(params)
        for own, t in enumerate(counts, 1):
            updates, opt_state = tx.update(params, opt_state)
            moments = (1 - 0.5**own) / np.sqrt(1 - 0.999**own)
            expected = np.sqrt(1 - 0.999**t) / (1 - 0.5**t) * moments
            assert float(updates["w"]) == pytest.approx(-expected, rel=1e-4)


def test_image_size_and_channels_reach_the_networks_from_one_field():
    config = get("dcgan_cifar10")
    config.update_from_flattened_dict({"data.image_size": 64, "data.channels": 1})
    nets = build.nets(config)
    assert (nets["generator"].image_size, nets["generator"].channels) == (64, 1)


@pytest.mark.parametrize(
    "path, value, message",
    [
        (
            "data.name",
            "photographs",
            "data.name needs load_size.*, which this config does not have",
        ),
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
        ("optim.generator.ema_warmup", -1.0, "ema_warmup is -1.0"),
        ("nets.generator.dtype", "bf16", "networks do not fit.*bf16"),
        ("nets.discriminator.strides", (2, 2), "networks do not fit.*strides"),
        ("nets.discriminator.features", (4, 8, 0, 8), r"features is \(4, 8, 0, 8\); each must be"),
        ("optim.discriminator.learning_rate", float("nan"), "learning_rate is nan; it must be"),
        ("loss.weights.fake", -1.0, "loss.weights.fake is -1.0; it must be a number from 0"),
        ("evaluators.quality.num_fake", -5, "evaluators.quality.num_fake is -5; it must be"),
        ("nets.generator.name", "dcgan", "There is no gans.models.dcgan; the name has the form"),
        ("nets.generator.name", "dcgan.nn", "There is no gans.models.dcgan.nn; .* has Generator"),
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
