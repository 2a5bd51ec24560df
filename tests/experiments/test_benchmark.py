"""The benchmark's numbers by hand, and that it compares nothing but like with like."""

import copy
import importlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from experiments.studies.benchmark import (
    agreement,
    cases,
    data,
    flops,
    growth,
    measure,
    ours,
    report,
    run,
)
from experiments.studies.benchmark.peers import build, games, layers, sides
from experiments.studies.benchmark.peers import r3gan as peers_r3gan
from experiments.studies.benchmark.run import How
from experiments.studies.benchmark.variants import Variant, variants
from experiments.studies.benchmark.workers import Failed, Worker
from gans.errors import UserError
from gans.models import r3gan as models_r3gan

EAGER = Variant("contiguous")


def small(task, config, changes):
    """A case of a config in its small form, on one device."""
    config = importlib.import_module(f"configs.{config}").get_config("test")
    return cases.make(task, task, config, {"mesh.data": 1} | changes)


# The same networks, losses and optimizers.

SMALL = {"data.image_size": 16, "data.load_size": 18}
UNET = {f"nets.generator_{way}.features": (3, 4, 4, 5) for way in ("ab", "ba")}
NETS = ("generator", "discriminator")
# Four images in a step, a power of 2: so the gradient of a critic's last bias, on which a
# Wasserstein loss does not depend, is 0 and no rounding error that Adam would make a move of.
TINY = {"data.image_size": 8, "nets.generator.image_size": 8, "data.batch_size": 8}
RESIDUAL = {
    **TINY,
    "nets.generator.stem_features": 5,
    "nets.generator.features": (4,),
    "nets.discriminator.features": (4, 4),
    "nets.discriminator.downsample": (True, False),
    **{f"optim.{net}.schedule": "constant" for net in NETS},
}
CRITIC = {
    "nets.discriminator.features": (4,),
    "nets.discriminator.downsample": (False,),
    "loss.penalties.gradient_penalty.every": 3,
}
DRAGAN = {"loss.penalties.gradient_penalty.name": "penalties.Dragan"}
JOINT = {
    "data.batch_size": 4,
    "game.name": "latent.joint",
    "game.discriminator_steps": None,
    "game.generator_batch": None,
}
CONSTANT = {f"optim.{net}.schedules": None for net in NETS}
R3GAN = {
    **TINY,
    "augment": None,
    "loss.schedule": None,
    **CONSTANT,
}
COMPARED = {
    # Two steps of D, labels, a hidden layer, and Keras' Adam.
    "conditional": ("train", "cgan_cifar10", {"data.batch_size": 3}),
    # Spectral norms in place of batch normalisation.
    "spectral": (
        "train",
        "dcgan_digits",
        {
            "nets.discriminator.spectral": True,
            "nets.discriminator.normalise": False,
            "optim.generator.ema_decay": 0.0,
            "data.batch_size": 3,
        },
    ),
    # Least squares, a pool of fakes, and Adam for two networks at once.
    "resnet": ("train", "cyclegan_monet2photo_resnet", SMALL),
    # Learned scales, and a single pixel at the bottom.
    "unet": ("translate", "cyclegan_monet2photo", SMALL | UNET),
    "samples": ("sample", "cgan_cifar10", {"num": 5}),
    # Spectral norms, the hinge loss, two steps of D, and classes that are drawn.
    "sngan": ("train", "sngan_projection_cifar10", RESIDUAL),
    # A gradient between real and generated images in one of three steps, two in an iteration.
    "wgangp": ("train", "wgangp_cifar10", RESIDUAL | CRITIC),
    "joint": ("train", "wgangp_cifar10", RESIDUAL | CRITIC | JOINT),
    # Pairs, two penalties whose logits are those of the loss, and flips.
    "r3gan": ("train", "r3gan_cifar10", R3GAN),
}


@pytest.fixture(scope="module")
def asked():
    """The question of each case and our answers, made once."""
    return {}


def question(asked, name):
    if name not in asked:
        case = small(*COMPARED[name])
        asked[name] = case, *ours.TASKS[case.task](case).question()
    return asked[name]


@pytest.mark.parametrize("name", COMPARED)
def test_both_sides_give_the_same_answers(asked, name):
    case, given, answers = question(asked, name)
    for layout in ("contiguous", "channels_last"):
        theirs = sides.side(case, Variant(layout)).answer(given)
        tolerance = run.TOLERANCES[case.task] if name == "unet" else 1e-4
        assert agreement.compare(answers, theirs, tolerance)["largest"] <= tolerance


@pytest.mark.parametrize("name", ["sngan", "wgangp", "joint", "r3gan"])
def test_pytorch_draws_as_much_noise_as_it_is_given(asked, name):
    case, given, _ = question(asked, name)
    config = case.read_config()
    nets = build.networks(config, data.source(config).info(config.data.labels))
    batch = {key: torch.from_numpy(np.array(x)) for key, x in given["batch"].items()}
    drawn = games.iteration(config, nets).draw(batch)
    shapes = jax.tree.map(lambda x: tuple(x.shape), drawn)
    assert shapes == jax.tree.map(np.shape, given["noise"])
    if name == "sngan":
        assert torch.equal(drawn["fakes"]["label"].sum(1), torch.ones(len(batch["image"])))
    sides.side(case, EAGER).block(1)


def test_half_of_the_images_are_mirrored():
    images = torch.arange(400 * 6).reshape(400, 1, 3, 2)
    found = sides.mirrored(images)
    turned = [not torch.equal(a, b) for a, b in zip(found, images, strict=True)]
    assert 150 < sum(turned) < 250
    assert torch.equal(found[turned], images[turned][:, :, [2, 1, 0]])


def test_one_weight_of_another_value_is_refused(asked):
    case, given, answers = question(asked, "conditional")
    given = copy.deepcopy(given)
    kernel = given["nets"]["discriminator"]["params"]["Conv_1"]["kernel"] = np.array(
        given["nets"]["discriminator"]["params"]["Conv_1"]["kernel"]
    )
    kernel[0, 0, 0, 0] += 0.3
    with pytest.raises(UserError, match=r"(d_real/real|d_fake/fake|adversarial).* here and .* the"):
        agreement.compare(answers, sides.side(case, EAGER).answer(given), agreement.TRAINED)


@pytest.mark.parametrize(
    "change",
    [
        {"optim.generator.learning_rate": 3e-4},
        {"optim.discriminator.b1": 0.0},
        {"optim.discriminator.name": "adam", "optim.discriminator.eps": 1e-3},
        {"game.name": "latent.joint"},
    ],
)
def test_another_optimizer_or_game_is_refused(asked, change):
    case, given, answers = question(asked, "conditional")
    other = cases.make("other", "train", case.read_config(), change)
    with pytest.raises(UserError, match="do not compute the same"):
        agreement.compare(answers, sides.side(other, EAGER).answer(given), agreement.TRAINED)


def test_keras_epsilon_in_pytorchs_adam():
    spec = cases.make("", "train", _config("dcgan_cifar10"), {"optim.generator.eps": 1e-3})
    parameter = torch.nn.Parameter(torch.zeros(2))
    adam = build.optimizer([parameter], spec.read_config().optim.generator)
    expected, m, v = np.zeros(2), 0.0, 0.0
    for t, gradient in enumerate(([1e-3, 2.0], [5e-4, -1.0]), 1):
        g = np.array(gradient)
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        rate = 2e-4 * np.sqrt(1 - 0.999**t) / (1 - 0.5**t)
        expected = expected - rate * m / (np.sqrt(v) + 1e-3)
        parameter.grad = torch.tensor(gradient)
        adam.step()
    np.testing.assert_allclose(parameter.detach(), expected, rtol=1e-4)


def _config(name):
    return importlib.import_module(f"configs.{name}").get_config()


def test_pool_fills_and_then_gives_old_for_new():
    pool = games.Pool(3)
    first = torch.arange(3.0).reshape(3, 1, 1, 1)
    assert torch.equal(pool.query(first), first)
    seen = torch.cat([pool.query(torch.full((1, 1, 1, 1), 10.0 + i)) for i in range(400)])
    old = sum(x != 10 + i for i, x in enumerate(seen.ravel().tolist()))
    assert 150 < old < 250
    assert set(seen.ravel().tolist()) >= {0.0, 1.0, 2.0}


def test_parameters_without_a_counterpart_are_refused():
    net = torch.nn.Module()
    net.dense = torch.nn.ModuleList([torch.nn.Linear(2, 3)])
    kernel, bias = np.ones((2, 3)), np.ones(3)
    with pytest.raises(UserError, match="Dense_1/bias"):
        tree = {"Dense_0": {"kernel": kernel, "bias": bias}, "Dense_1": {"bias": bias}}
        layers.copy({"params": tree}, net)
    with pytest.raises(UserError, match=r"dense.0.weight of shape \(3, 2\), ours none"):
        layers.copy({"params": {"Dense_0": {"bias": bias}}}, net)


@pytest.mark.parametrize(
    ("theirs", "sentence"),
    [
        ({"a": [1.0, 2.004]}, r"a\[1\] is 2 here and 2.004 there"),
        ({"a": [1.0, np.nan]}, r"a\[1\] is 2 here and nan there"),
        ({"a": [1.0]}, "shape"),
        ({"b": [1.0, 2.0]}, "ours has a, the other b"),
    ],
)
def test_answers_that_differ_are_refused(theirs, sentence):
    answers = {"a": np.array([1.0, 2.0])}
    assert agreement.compare(answers, {"a": np.array([1.0, 2.001])}, 1e-3)["largest"] == 5e-4
    with pytest.raises(UserError, match=sentence):
        agreement.compare(answers, {name: np.array(x) for name, x in theirs.items()}, 1e-3)


def test_each_iteration_has_a_tolerance_of_its_own():
    ours, theirs = {"a": np.array([1.0, 2.0])}, {"a": np.array([1.001, 2.1])}
    agreement.compare(ours, theirs, (1e-3, 0.06))
    with pytest.raises(UserError, match=r"a\[0\] is .* 0.0005 of its size apart where 0.0004 "):
        agreement.compare(ours, theirs, (4e-4, 0.06))
    with pytest.raises(UserError, match=r"a\[1\] is .* 0.05 of its size apart where 0.001 "):
        agreement.compare(ours, theirs, (1e-3, 1e-3))


def test_what_just_differs_too_much_is_not_said_to_be_what_is_allowed():
    with pytest.raises(UserError, match=r" 0.0205 of its size apart where 0.02 is allowed"):
        agreement.compare({"a": np.array([2.0])}, {"a": np.array([2.041])}, 0.02)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"loss.adversarial": "minimax"}, "minimax"),
        ({"optim.generator.ema_decay": 0.9}, "ema_decay"),
        ({"optim.generator.schedule": "linear"}, "learning rate"),
        ({"game.name": "auxiliary.two_step"}, "auxiliary"),
        ({"nets.discriminator.name": "dcgan.ProjectionDiscriminator"}, "Projection"),
    ],
)
def test_what_is_not_written_in_pytorch_is_said(changes, sentence):
    with pytest.raises(UserError, match=sentence):
        sides.side(small("train", "dcgan_cifar10", changes), EAGER)


@pytest.mark.parametrize(
    ("config", "changes", "sentence"),
    [
        ("r3gan_cifar10", {"augment": None, "loss.schedule": None}, "schedules"),
        ("r3gan_cifar10", {"augment": None, **CONSTANT}, "loss.schedule"),
        ("r3gan_cifar10", {"loss.schedule": None}, "augment"),
        ("wgangp_cifar10", RESIDUAL | DRAGAN, "Dragan"),
        ("wgangp_cifar10", RESIDUAL | {"nets.discriminator.spectral": True}, "spectrally"),
    ],
)
def test_what_a_method_adds_and_is_not_written_in_pytorch_is_said(config, changes, sentence):
    with pytest.raises(UserError, match=sentence):
        sides.side(small("train", config, changes), EAGER)


def test_networks_of_unlike_widths_and_without_labels_are_ours():
    shared = {"features": (4, 6, 6), "blocks": 1, "group_features": 2}
    known = {"classes": 0, "image_size": 16, "channels": 3, "expansion": 2}
    of_maker = {"condition_features": 5}
    pairs = [
        (
            models_r3gan.Generator(image_size=16, **of_maker, **shared),
            peers_r3gan.Generator(latent_dim=7, **of_maker, **shared, **known),
            (2, 7),
        ),
        (
            models_r3gan.Discriminator(**shared),
            peers_r3gan.Discriminator(**shared, **known),
            (2, 16, 16, 3),
        ),
    ]
    rng = np.random.default_rng(0)
    for net, peer, shape in pairs:
        x = rng.normal(size=shape).astype(np.float32)
        init = jax.eval_shape(lambda x, net=net: net.init(jax.random.key(0), x, train=True), x)
        filled = jax.tree.map(lambda leaf: np.float32(0.3 * rng.normal(size=leaf.shape)), init)
        expected = jax.jit(lambda p, x, net=net: net.apply(p, x, train=True))(filled, x)
        layers.copy(filled, peer)
        tensor = torch.from_numpy(x if x.ndim == 2 else x.transpose(0, 3, 1, 2))
        found = peer(tensor).detach().numpy()
        found = found if found.ndim == 2 else found.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


# Numbers.


def test_ratio_of_medians_and_its_interval():
    a, b = [1.0, 1.1, 0.9, 1.0, 1.0], [2.0, 2.2, 1.8, 2.0, 2.0]
    # Every round has the same ratio, but a median of the one may meet that of another round.
    found = measure.ratio(a, b)
    assert found.median == 2.0
    assert found.low == pytest.approx(2.0) and found.high == pytest.approx(2.0)
    unlike = measure.ratio([1.0] * 6, [1.0, 2.0, 2.0, 2.0, 2.0, 4.0])
    assert unlike.median == 2.0 and 1.0 <= unlike.low < 2.0 < unlike.high <= 4.0
    assert measure.ratio([1.0, 2.0], [3.0, 2.0]) == (2.5 / 1.5, 1.0, 3.0)
    with pytest.raises(ValueError, match="pairs"):
        measure.ratio([1.0], [1.0, 2.0])


def test_quartiles_and_counts():
    assert measure.quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (3.0, 2.0, 4.0)
    assert measure.count_for(3.0, 0.7, 1) == 4
    assert measure.count_for(3.0, 5.0, 1) == 1
    assert measure.count_for(3.0, 0.07, 25) == 50


def test_sides_are_timed_by_turns():
    calls = []

    def timed(name, of_one):
        def block(count):
            calls.append((name, count))
            return count * of_one, 0.5 * count

        return block

    found = measure.alternate(
        {"a": (timed("a", 2.0), 1), "b": (timed("b", 3.0), 5)},
        {"a": 4, "b": 10},
        2,
        lambda: calls.append("rest"),
    )
    turn = ["rest", ("a", 1), ("a", 4), "rest", ("b", 5), ("b", 10)]
    assert calls == 2 * turn
    assert found == {"a": [(2.0, 0.5)] * 2, "b": [(3.0, 0.5)] * 2}


def test_operations_and_memory_of_a_matrix_product():
    x, y = jnp.ones((64, 32)), jnp.ones((32, 16))
    found = flops.demand(lambda x, y: x @ y, x, y)
    assert found.flop == pytest.approx(2 * 64 * 32 * 16, rel=0.01)
    assert found.argument_mib == 4 * (64 * 32 + 32 * 16) / 2**20


def test_variants_to_try():
    assert len(variants({"float32"}, compiled=False, on_gpu=True)) == 2
    assert len(variants({"float32"}, compiled=True, on_gpu=False)) == 4
    tried = variants({"bfloat16", "float32"}, compiled=True, on_gpu=True)
    assert len(set(tried)) == 12
    assert tried[-1].name == "compiled reduce-overhead, channels_last, bfloat16"


def test_cases_are_of_configs_that_exist():
    for name, named in cases.NAMED.items():
        case = cases.make(name, named.task, _config(named.config), named.changes)
        assert case.images >= 1
        for path, value in named.changes.items():
            is_of_config = "." in path or value is None
            found = case.read_config() if is_of_config else case.fields
            for key in path.split("."):
                found = found.get(key)
            assert found == value
    assert case.config["data"]["name"] == "digits"


# Growth.


def test_power_of_growth():
    assert growth.slope([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)


def test_what_grows(tmp_path):
    config = _config("cyclegan_monet2photo_resnet")
    wide = growth.case(config, "width", 0.5).read_config().nets
    assert wide.generator_ab.features == wide.discriminator_b.features == 32
    tall = growth.case(config, "image size", 128).read_config().data
    assert (tall.image_size, tall.load_size) == (128, 143)
    dcgan = growth.case(_config("dcgan_cifar10"), "image size", 64).read_config()
    assert dcgan.nets.generator.image_size == 64
    point = {"seconds_per_image": 1.0, "low": 0.9, "high": 1.2}
    points = [point | {"value": value} for value in (1, 2)]
    growth.draw([{"axis": "batch size", "points": points, "power": 0.0}], tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    with pytest.raises(UserError, match="must end in"):
        growth.check(tmp_path / "a.jpg")


# Processes.


class Counter:
    """For a process of its own."""

    def __init__(self, start):
        if start < 0:
            raise UserError("below zero")
        self.value = start

    def add(self, number):
        self.value += number
        return self.value


def test_a_worker_keeps_its_object_and_tells_what_went_wrong():
    with Worker("collections:Counter", ["a", "a"]) as worker:
        assert worker.call("total") == 2
        with pytest.raises(Failed, match="AttributeError"):
            worker.call("absent")
        assert worker.call("total") == 2
    with pytest.raises(UserError, match="There is no"):
        Worker("gans.config.build:find", "models", "absent.Net")
    with Worker("threading:Event") as worker, pytest.raises(Failed, match="more than 1 sec"):
        worker.call("wait", timeout=1.0)


# All of it.


def test_a_run_from_its_flags_to_its_table(tmp_path):
    case = small("sample", "cgan_cifar10", {"num": 40})
    content = run.run([case], How(rounds=2, seconds=0.01, against="torch", compile_seconds=0))
    content = json.loads(json.dumps(content))
    found = content["cases"][0]
    assert {x["variant"] for x in found["tried"]} == {"eager, channels_last", "eager, contiguous"}
    for name in ("ours", "torch"):
        side = found[name]
        assert side["images_per_second"] == pytest.approx(40 / side["seconds"]["median"], rel=1e-3)
        assert len(side["seconds"]["rounds"]) == 2
        assert side["peak_memory_mib"] >= side["memory_before_mib"] > 10
    medians = [found[name]["seconds"]["median"] for name in ("torch", "ours")]
    assert found["ratio"]["median"] == pytest.approx(medians[0] / medians[1], rel=1e-3)
    assert found["agreement"]["largest"] <= found["agreement"]["tolerance"]
    assert 0 < found["ours"]["share"] < 1
    table = report.markdown(content)
    assert f"**{found['ratio']['median']:.2f}**" in table
    assert content["machine"]["processor"] in table
    assert content["cautions"][-1] in table


def test_what_is_done_is_kept_when_a_later_case_fails(monkeypatch):
    cases = [small("sample", "cgan_cifar10", {"num": num}) for num in (8, 9)]

    def time_case(case, *_):
        if case is cases[1]:
            raise Failed("the process ended")
        return {"name": case.name, "ours": {}}

    monkeypatch.setattr(run, "ceilings", lambda cases, how: ([], False))
    monkeypatch.setattr(run, "time_case", time_case)
    kept = []
    with pytest.raises(UserError, match="could not be timed: the process ended"):
        run.run(cases, How(), keep=lambda content: kept.append(json.dumps(content["cases"])))
    assert [len(json.loads(text)) for text in kept] == [1]


@pytest.mark.parametrize("content", ["", "[]", '{"tables": []}', '{"machine": {}, "cases": [3]}'])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(UserError, match=r"a\.json.* one that experiments\.benchmark wrote"):
        report.read(tmp_path / "a.json")
