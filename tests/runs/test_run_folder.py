"""A run folder read back: of older versions, damaged, or of somebody else."""

import copy
import json
import os

import jax
import pytest

from gans.config import build, schema
from gans.data.source import DataInfo
from gans.errors import UserError
from gans.runs import run_folder, standing

INFO = DataInfo(64, (32, 32, 1), tuple("0123456789"))


@pytest.fixture
def folder(tmp_path, config):
    run_folder.note(tmp_path, config, INFO)
    return tmp_path


def stored(folder):
    return json.loads((folder / "config.json").read_text())


def without(tree, path):
    """A copy of nested dicts without one field."""
    tree = copy.deepcopy(tree)
    *sections, last = path.split(".")
    node = tree
    for name in sections:
        node = node[name]
    del node[last]
    return tree


def put(folder, content, name="config.json"):
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


YOUNGER = {
    "train.remat": False,
    "checkpoint.best": "",
    "checkpoint.best_is": "lowest",
    "mesh.fsdp": False,
    "data.resident_mib": 1024,
    "data.labels": False,
    "data.unreadable": "fail",
    "data.data_dir": "",
    "optim.generator.schedule": "constant",
    "optim.generator.ema_decay": 0.0,
    "evaluators": {},
    "mesh": {"data": 0, "fsdp": False},
}


@pytest.mark.parametrize("field", YOUNGER)
def test_a_field_that_a_config_lacks_has_the_value_that_runs_had_before_it(folder, field):
    put(folder, without(stored(folder), field))
    found = run_folder.read_config(folder)
    for name in field.split("."):
        found = found[name]
    plain = found.to_dict() if hasattr(found, "to_dict") else found
    assert plain == YOUNGER[field]


def test_a_config_without_any_younger_field_makes_the_same_state(folder, config):
    old = stored(folder)
    for field in YOUNGER:
        if "." in field and not field.startswith(("mesh.", "data.labels", "optim.")):
            old = without(old, field)
    put(folder, without(without(old, "mesh"), "evaluators"))
    read = run_folder.read_config(folder)
    start, again = (build.of_run(x).start(INFO) for x in (config, read))
    shapes = [jax.tree.leaves(jax.eval_shape(f, jax.random.key(0))) for f in (start, again)]
    assert shapes[0] == shapes[1]


def test_each_field_that_is_taken_away_is_given_or_named(folder):
    whole = stored(folder)
    for field in schema.flatten(whole):
        put(folder, without(whole, field))
        try:
            config = run_folder.read_config(folder)
            build.of_run(config)
            build.game(config)
            build.nets(config)
        except UserError as error:
            assert field.rpartition(".")[2] in str(error) or "loss.weights" in str(error)


def test_the_order_of_fields_stays(folder, config):
    assert list(schema.flatten(stored(folder))) == list(
        schema.flatten(schema.to_plain(run_folder.read_config(folder)))
    )


def test_what_an_older_config_lacks_is_the_same_only_where_it_is_as_before(folder, config):
    put(folder, without(without(stored(folder), "optim.generator.schedule"), "mesh.fsdp"))
    run_folder.check(folder, config)
    config.optim.generator.schedule = "linear"
    with pytest.raises(UserError, match="generator.schedule: 'constant' there, 'linear' now"):
        run_folder.check(folder, config)


def test_a_run_is_lengthened_only_where_no_schedule_ends_with_it(tmp_path, config):
    def is_refused(**schedule):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        config.train.num_steps = 6
        with config.unlocked():
            config.augment = {"name": "diffaugment.DiffAugment"} | schedule
        run_folder.note(folder, config, INFO)
        config.train.num_steps = 12
        try:
            run_folder.check(folder, config)
        except UserError as error:
            assert "train.num_steps: 6 there, 12 now" in str(error)
            return True
        return False

    assert not is_refused()
    assert not is_refused(schedule={"name": "constant"})
    assert is_refused(schedule={"name": "linear"})
    assert not is_refused(schedule={"name": "linear", "steps": 3})


def test_a_config_of_ones_own_need_not_have_what_the_older_lacked(folder, config):
    put(folder, without(stored(folder), "data.unreadable"))
    with config.unlocked():
        del config.data.unreadable
    run_folder.check(folder, config)


SPOILT = ["", "{}", "[]", "null", "3", '"x"', "{", "NaN", '{"seed": 0}', '{"seed": 0, "train": {}}']


@pytest.mark.parametrize("content", SPOILT)
def test_training_into_a_folder_with_a_damaged_config_changes_nothing(folder, config, content):
    put(folder, content)
    with pytest.raises(UserError, match=r"config\.json"):
        run_folder.check(folder, config)
    assert not standing.is_finished(folder, config)
    with pytest.raises(UserError, match=r"config\.json"):
        run_folder.read_config(folder)
    assert (folder / "config.json").read_text() == content


@pytest.mark.parametrize(
    "field, value",
    [
        *(("seed", x) for x in (None, True, -1, 1.5, "0", [])),
        *(("train", x) for x in (None, 3, [], "x")),
        *(("train.num_steps", x) for x in (None, 0, -1, 2.5, "6", True)),
        *(("data.batch_size", x) for x in (None, 0, "8")),
        *(("nets", x) for x in (None, {}, [], "x", {"generator": None})),
        *(("nets.generator.name", x) for x in (None, 3, [])),
        *(("optim.generator.learning_rate", x) for x in (None, "x", [], 10**400)),
        *(("loss.weights", x) for x in (None, [1], {"real": "x"})),
        *(("checkpoint.keep", x) for x in (None, 0)),
        *(("evaluators.quality", x) for x in (None, 3, {})),
        *(("mesh.fsdp", x) for x in (None, 1)),
    ],
)
def test_a_field_of_another_type_is_named(folder, field, value):
    tree = stored(folder)
    *sections, last = field.split(".")
    node = tree
    for name in sections:
        node = node[name]
    node[last] = value
    put(folder, tree)
    with pytest.raises(UserError, match=rf"config\.json: {field}"):
        run_folder.read_config(folder)


@pytest.mark.parametrize(
    "section, field, value",
    [
        ("nets.generator", "features", "abc"),
        ("nets.generator", "features", (8, "a")),
        ("nets.generator", "channels", None),
        ("nets.generator", "channels", {"a": 1}),
        ("nets.discriminator", "strides", 2),
        ("game", "latent_dim", "16"),
    ],
)
def test_a_component_is_given_no_value_of_another_type(config, section, field, value):
    with config.unlocked(), config.ignore_type():
        node = config
        for name in section.split("."):
            node = node[name]
        node[field] = value
    with pytest.raises(UserError, match=rf"{section}\.{field}.* is "):
        build.game(config)
        build.nets(config)


def test_a_field_of_a_name_that_none_can_have_is_an_error(folder):
    put(folder, stored(folder) | {"a.b": 1})
    with pytest.raises(UserError, match=r"config\.json: A field has a wrong name"):
        run_folder.read_config(folder)


DATA = {"size": 64, "image_shape": [32, 32, 1], "classes": []}


@pytest.mark.parametrize(
    "content",
    [
        *("", "{}", "[]", "null", "3", "{"),
        *(DATA | {"size": x} for x in (None, -1, "64", 1.5)),
        *(DATA | {"image_shape": x} for x in (None, [], [32, 32], [0, 32, 1], [10**6] * 3, "abc")),
        *(DATA | {"classes": x} for x in (None, "abc", [1])),
        *(DATA | {"domains": x} for x in (["A"], ["A", "B", "C"], "AB")),
        DATA | {"domain_sizes": [1]},
        DATA | {"domain_sizes": [-1, 3]},
    ],
)
def test_damaged_facts_about_the_data_are_named_and_stay(folder, config, content):
    put(folder, content, "data.json")
    before = (folder / "data.json").read_bytes()
    with pytest.raises(UserError, match=r"data\.json"):
        run_folder.read_info(folder)
    with pytest.raises(UserError, match=r"data\.json"):
        run_folder.note(folder, config, INFO)
    assert (folder / "data.json").read_bytes() == before


def test_a_broken_link_is_no_empty_place(tmp_path, config):
    (tmp_path / "config.json").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"Cannot read .*config\.json"):
        run_folder.check(tmp_path, config)
    (tmp_path / "config.json").unlink()
    (tmp_path / "metrics.jsonl").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="has metrics.jsonl but no config.json"):
        run_folder.check(tmp_path, config)


def test_a_disk_without_locks_lets_a_run_begin(tmp_path, monkeypatch, config, capsys):
    import fcntl

    def flock(file, operation):
        raise OSError(38, os.strerror(38))

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_folder.opened(tmp_path, config, INFO):
        assert run_folder.read_info(tmp_path) == INFO
    assert "has no locks" in capsys.readouterr().err


def test_a_config_that_makes_no_networks_is_a_sentence_at_restoring(folder, config):
    tree = stored(folder)
    tree["nets"]["generator"]["features"] = [8, 10**400]
    put(folder, tree)
    with pytest.raises(UserError, match=r"config\.json: The networks do not fit"):
        run_folder.restore(folder, run_folder.read_config(folder), INFO, None)


@pytest.mark.parametrize(
    ("path", "value", "is_another"),
    [
        ("loss.penalties", {"r1": {"name": "penalties.R1"}}, True),
        ("loss.schedule", {"real": {"name": "linear", "end": 0.0, "steps": 9}}, True),
        ("optim.generator.schedules", {"b2": {"name": "linear", "end": 0.9}}, True),
        ("optim.generator.ema_half_life", 10.0, True),
        ("optim.generator.ema_half_life", 0.0, False),
        ("augment", {"name": "diffaugment.DiffAugment"}, True),
        ("nets.discriminator.spectral", True, True),
        ("nets.discriminator.spectral", False, False),
        ("nets.discriminator.normalise", False, True),
        ("nets.discriminator.normalise", True, False),
    ],
)
def test_what_a_run_was_without_is_another_run_unless_it_changes_nothing(
    folder, config, path, value, is_another
):
    before = without(stored(folder), path) if path.startswith("nets.") else stored(folder)
    put(folder, before)
    section, _, field = path.rpartition(".")
    with config.unlocked():
        place = config
        for name in filter(None, section.split(".")):
            place = place[name]
        place[field] = value
    if not is_another:
        return run_folder.check(folder, config)
    with pytest.raises(UserError, match=rf"{path}\S*: .* there, .* now"):
        run_folder.check(folder, config)
    return None
