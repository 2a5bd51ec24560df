"""What trainings say of themselves that go wrong, whether they are interrupted or not."""

import json
from types import SimpleNamespace

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from gans import parallel
from gans.core.types import Latent, Translation
from gans.data import unpaired
from gans.data.source import DataInfo
from gans.evaluation import alarms
from gans.evaluation.subject import Reference
from gans.games import cycle as cycle_game
from gans.inference.previews import Made, cycle, latent
from gans.runs import alarm_record, writers
from gans.training import replicas, train
from gans.training.alarms import Alarms

SOON = 100  # iterations, in the place of `alarms.STEPS`


class OneImage(nn.Module):
    """The same image, whatever the latent vector is."""

    image_size: int
    channels: int

    @nn.compact
    def __call__(self, latent, *, train):
        del train
        shape = (self.image_size, self.image_size, self.channels)
        image = self.param("image", nn.initializers.normal(1.0), shape)
        return jnp.broadcast_to(jnp.tanh(image), (len(latent), *shape))


@pytest.fixture
def config(monkeypatch):
    """Digits of 8x8 pixels and tiny networks, on one device, with alarms after `SOON` steps."""
    from configs import dcgan_digits

    monkeypatch.setattr(alarms, "STEPS", SOON)
    config = dcgan_digits.get_config("test")
    config.update_from_flattened_dict(
        {
            "mesh.data": 1,
            "data.image_size": 8,
            "nets.generator.image_size": 8,
            "optim.discriminator.learning_rate": 0.01,
            "evaluators.overfitting.every_steps": 0,
            "evaluators.quality.every_steps": 0,
            "train.num_steps": 160,
            "train.steps_per_call": 10,
            "train.log_every": 10,
            "train.sample_every": 50,
            "checkpoint.every_steps": 50,
        }
    )
    return config


@pytest.fixture
def collapsed(config):
    with config.unlocked():
        config.nets.generator = {"name": f"{__name__}.OneImage", "image_size": 8, "channels": 1}
        config.optim.generator.learning_rate = 0.0
        config.optim.generator.ema_decay = 0.0
    return config


def record(workdir):
    lines = (workdir / alarm_record.FILE).read_text().splitlines()
    return [{k: x for k, x in json.loads(line).items() if k != "time"} for line in lines]


def said(capfd):
    return [line for line in capfd.readouterr().err.splitlines() if "Alarm" in line]


def test_a_collapsed_run_says_so_once_and_as_if_it_had_not_stopped(collapsed, tmp_path, capfd):
    train.run(collapsed, tmp_path / "whole")
    found = {x.name: x for x in alarm_record.read(tmp_path / "whole")}
    assert found.keys() == {"right", "same"}
    assert found["same"].begun == 100 and "same image from every latent" in found["same"].sentence
    assert found["right"].begun >= SOON and found["right"].ended is None
    words = said(capfd)
    assert sorted(words) == sorted(f"Alarm at step {x.begun}: {x.sentence}" for x in found.values())
    for steps in (60, 130, 160):  # before there is an alarm, and among them
        collapsed.train.num_steps = steps
        train.run(collapsed, tmp_path / "parts")
    assert record(tmp_path / "parts") == record(tmp_path / "whole")
    assert said(capfd) == words


def test_a_run_that_learns_says_nothing(config, tmp_path, capfd):
    config.optim.discriminator.learning_rate = 5e-4
    train.run(config, tmp_path)
    assert said(capfd) == [] and not (tmp_path / alarm_record.FILE).exists()


def test_each_of_several_runs_in_one_program_is_named(collapsed, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(alarms, "STEPS", 20)
    configs = []
    for seed in (0, 1):
        configs.append(collapsed.copy_and_resolve_references())
        configs[-1].update_from_flattened_dict(
            {"seed": seed, "train.num_steps": 20, "train.sample_every": 20}
        )
    workdirs = [tmp_path / f"seed={seed}" for seed in (0, 1)]
    replicas.run(configs, workdirs)
    for workdir in workdirs:
        assert [line["alarm"] for line in record(workdir)] == ["same"]
    names = [line.partition(": Alarm at step 20: The generator makes")[0] for line in said(capfd)]
    assert names == ["seed=0", "seed=1"]


@pytest.fixture
def run(tmp_path):
    """An open run as far as alarms know it, and what is said and noted."""
    noted = []
    with writers.RunWriter(tmp_path, 0) as writer:
        yield SimpleNamespace(
            workdir=tmp_path,
            writer=writer,
            progress=SimpleNamespace(note=noted.append),
            noted=noted,
        )


def noise(level=128, deviation=40, count=8):
    x = np.random.default_rng(0).normal(level, deviation, (count, 4, 4, 1))
    return np.clip(x, 0, 255).astype(np.uint8)


def test_an_alarm_is_said_again_only_after_it_has_ended(run):
    words = []
    seen = Alarms(run, words.append)
    seen.resume(0, {"image": alarms.look(noise())})
    black = np.zeros((8, 4, 4, 1), np.uint8)
    for step, images in [
        (900, black),  # too early
        (1000, black),
        (1100, black),
        (1200, noise()),
        (1300, black),
    ]:
        seen.shown(step, [Made("image", images), Made("unknown", images)])
    assert [x[:20] for x in words] == ["Alarm at step 1,000:", "Alarm at step 1,300:"]
    [first, second] = alarm_record.read(run.workdir)
    assert (first.begun, first.ended) == (1000, 1200)
    assert (second.begun, second.ended) == (1300, None)
    again = Alarms(run, words.append)
    again.resume(1300, {"image": alarms.look(noise())})
    again.shown(1300, [Made("image", black)])
    assert len(words) == 2


def test_evaluators_have_an_alarm_each(run):
    words = []
    seen = Alarms(run, words.append)
    few = {"evaluator": "quality", "values": {"vendi": 1.2, "vendi_real": 8.0}}
    many = {"evaluator": "other", "values": {"vendi": 6.0, "vendi_real": 8.0}}
    for step in (500, 1000, 2000):
        seen.evaluated(step, [few, many])
    seen.evaluated(3000, [many | {"evaluator": "quality"}])
    [alarm] = alarm_record.read(run.workdir)
    assert (alarm.name, alarm.begun, alarm.ended) == ("vendi/quality", 1000, 3000)
    assert (
        len(words) == 1 and "as diverse as 1.2 different ones, the real images as 8.0" in words[0]
    )


def test_the_data_are_looked_at_once(run):
    words = []
    blank = {"b": alarms.look(np.full((4, 4, 4, 1), 255, np.uint8)), "a": alarms.look(noise())}
    for step in (0, 500):
        Alarms(run, words.append).resume(step, blank)
    assert words == [] and len(run.noted) == 1
    assert run.noted[0].startswith("Alarm at step 0: Of 4 images of the data of domain B")


def test_alarms_that_cannot_be_written_do_not_end_a_run(run):
    (run.workdir / alarm_record.FILE).mkdir()
    seen = Alarms(run, lambda sentence: None)
    seen.evaluated(1000, [{"evaluator": "q", "values": {"vendi": 1.0, "vendi_real": 8.0}}])


def test_a_grid_tells_the_classes_and_translations_their_sources():
    game = SimpleNamespace(makes=Latent("generator", 4))
    info = DataInfo(9, (2, 2, 1), tuple("abc"))
    [made] = latent.Grid(info=info, game=game, rows=2, columns=7).made(np.zeros((6, 2, 2, 1)))
    assert (made.domain, made.sources, list(made.kinds)) == ("image", None, [0, 1, 2, 0, 1, 2])
    info = DataInfo(9, (2, 2, 1), domains=("x", "y"), domain_sizes=(9, 9))
    test = {"a": np.zeros((3, 2, 2, 1), np.uint8), "b": np.zeros((3, 2, 2, 1), np.uint8)}
    forth = Translation("generator_ab", "a", "b")
    for makes, columns in ((cycle_game.WAYS, 8), ({"a_to_b": forth}, 2)):
        back = (lambda way: forth) if columns == 8 else (lambda way: None)
        game = SimpleNamespace(makes=makes, back=back)
        numbers = np.arange(3 * columns)[:, None, None, None] * np.ones((1, 2, 2, 1))
        made = cycle.Translations(info=info, game=game, test=test).made(numbers)
        assert [(x.way, x.domain) for x in made] == [
            (name, way.target) for name, way in makes.items()
        ]
        for number, each in enumerate(made):
            rows = np.arange(3) * columns + 4 * number
            np.testing.assert_array_equal(each.sources[:, 0, 0, 0], rows)
            np.testing.assert_array_equal(each.images[:, 0, 0, 0], rows + 1)


def test_some_images_of_every_domain_are_looked_at(config):
    a, b = noise(count=70).repeat(2, axis=1), noise(0, 0, count=3)
    source = unpaired.source(a, b, image_size=4)
    found = Reference(config, parallel.make_mesh(1), source).pixels
    assert {name: (x.count, x.black) for name, x in found.items()} == {"a": (64, 0), "b": (3, 1)}
