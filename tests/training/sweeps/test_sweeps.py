"""Points of sweeps: their product, their names, and what is refused before anything starts."""

import importlib
import pathlib
from urllib.parse import unquote

import pytest

from gans.errors import UserError
from gans.losses import adversarial
from gans.training.sweeps import plan, sweep

LOSSES = sorted(k for k, x in vars(adversarial).items() if isinstance(x, adversarial.Adversarial))

CONFIGS = pathlib.Path(__file__).parents[3] / "configs"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.py") if path.stem != "__init__")


def flat(points):
    return [(point.name, dict(point.overrides)) for point in points]


def test_sweeps_are_combined_as_their_product(config):
    given = {
        "a": [{"loss.adversarial": "hinge"}, {"loss.adversarial": "minimax"}],
        "b": [{"seed": 0}, {"seed": 1}],
    }
    points = plan.points(config, given)
    assert flat(points) == [
        ("adversarial=hinge,seed=0", {"loss.adversarial": "hinge", "seed": 0}),
        ("adversarial=hinge,seed=1", {"loss.adversarial": "hinge", "seed": 1}),
        ("adversarial=minimax,seed=0", {"loss.adversarial": "minimax", "seed": 0}),
        ("adversarial=minimax,seed=1", {"loss.adversarial": "minimax", "seed": 1}),
    ]
    assert [(x.config.loss.adversarial, x.config.seed) for x in points][1] == ("hinge", 1)
    assert config.loss.adversarial == "non_saturating"
    assert points[0].config.is_locked


@pytest.mark.parametrize(
    "values, name",
    [
        ({"optim.g.learning_rate": 1e-3, "optim.d.learning_rate": 1e-3}, "learning_rate=0.001"),
        (
            {"optim.g.learning_rate": 1e-3, "optim.d.learning_rate": 1e-5},
            "g.learning_rate=0.001,d.learning_rate=1e-05",
        ),
        ({"loss.identity": 5.0, "nets.d.strides": (2, 1)}, "identity=5,strides=2-1"),
        ({"nets.d.hidden_features": (), "data.data_dir": ""}, "hidden_features=none,data_dir=none"),
    ],
)
def test_a_name_is_short_and_tells_the_fields_apart(values, name):
    assert plan.name(values) == name


def test_a_name_is_good_for_a_folder(tmp_path):
    odd = "a/b c=d,é\n.."
    name = plan.name({"data.data_dir": odd})
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert unquote(name) == f"data_dir={odd}"
    long = [plan.name({"data.data_dir": "x" * 300 + end}) for end in "ab"]
    assert len(set(long)) == 2 and max(map(len, long)) <= 150


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"a": [{"loss.weigths.real": 1.0}]}, "sweep_a.*'loss.weigths.real'.*'loss.weights.real'"),
        ({"a": [{"seed": 1}], "b": [{"train.num_steps": 2.5}]}, "sweep_b: train.num_steps.*int"),
        ({"a": [{"nets.discriminator.strides": 2}]}, "strides is of type tuple, so not 2"),
        ({"a": [{"seed": 1}], "b": [{"seed": 2}]}, "Both sweep_a and sweep_b set seed"),
        ({"a": [{"train.log_every": 2}]}, "Both --config.train.log_every and sweep_a"),
    ],
)
def test_what_does_not_fit_the_config_is_one_sentence(config, given, sentence):
    with pytest.raises(UserError, match=sentence):
        plan.points(config, given, fixed=["train.log_every"])


def test_an_unknown_sweep_names_the_known_ones(tmp_path):
    path = tmp_path / "x.py"
    path.write_text("def sweep_b(): yield {}\ndef sweep_a(): yield {}\ndef sweep_c(): yield 3\n")
    with pytest.raises(UserError, match="no sweep 'd'; it has a, b, c"):
        plan.read(path, ["a", "d"])
    with pytest.raises(UserError, match="Name a sweep; .* has a, b, c"):
        plan.read(path, [])
    with pytest.raises(UserError, match="sweep_c .* must yield dicts"):
        plan.read(path, ["c"])


@pytest.mark.parametrize("name", NAMES)
def test_every_sweep_of_every_config_fits_it(name):
    module = importlib.import_module(f"configs.{name}")
    found = [x.removeprefix("sweep_") for x in vars(module) if x.startswith("sweep_")]
    assert {"seed", "learning_rate"} <= set(found)
    config = module.get_config()
    for each, points in plan.read(CONFIGS / f"{name}.py", found).items():
        made = plan.points(config, {each: points})
        assert len(made) == len(points) > 1
        if each == "adversarial":
            assert {point["loss.adversarial"] for point in points} == set(LOSSES)
        if each == "identity":
            weights = [point.config.loss.weights for point in made]
            assert [(x.identity_a, x.identity_b) for x in weights] == [(0, 0), (0.5, 0.5), (5, 5)]


def test_a_dry_run_prints_commands_and_writes_nothing(config, tmp_path, capsys):
    path, workdir = CONFIGS / "cgan_digits.py", tmp_path / "lr"
    status = sweep.run(
        config, f"{path}:test", {"data.batch_size": 4}, ["seed"], workdir, None, dry_run=True
    )
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and not workdir.exists() and len(lines) == 10
    assert lines[2:4] == [
        "seed=1",
        f"  python -m experiments.train --config={path}:test --workdir={workdir}/seed=1 "
        "--config.data.batch_size=4 --config.seed=1",
    ]


def test_a_point_whose_numbers_are_out_of_range_is_refused_before_anything_starts(config, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text('def sweep_rate():\n    yield {"optim.generator.learning_rate": -1.0}\n')
    with pytest.raises(UserError, match="optim.generator.learning_rate is -1.0; it must be"):
        sweep.run(config, str(file), {}, ["rate"], tmp_path / "runs", None, dry_run=True)
