"""Whole runs of the small form: resumed, interrupted, diverged, damaged."""

import collections
import json
import shutil
import signal

import jax
import numpy as np
import pytest
from closeness import assert_no_further, exact_chunk, of_layer
from PIL import Image

from gans import parallel
from gans.config import build
from gans.data import pipeline
from gans.errors import UserError
from gans.runs import open_run, standing, writers
from gans.training import loop, recorder, train
from gans.training.progress import Progress


def leaves(state):
    """Every array of a state under its path, keys as their integers."""
    out = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        out[jax.tree_util.keystr(path)] = np.asarray(leaf)
    return out


def assert_same_bits(a, b):
    a, b = leaves(a), leaves(b)
    assert a.keys() == b.keys()
    for path in a:
        np.testing.assert_array_equal(a[path], b[path], err_msg=path)


def lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def base():
    from configs import cgan_digits

    config = cgan_digits.get_config("test")
    config.mesh.data = 1
    config.optim.generator.ema_decay = 0.5
    config.evaluators.overfitting.every_steps = 0
    return config


@pytest.fixture(scope="module")
def whole(base, tmp_path_factory):
    """An uninterrupted run of 6 steps, with its final state."""
    workdir = tmp_path_factory.mktemp("whole")
    return workdir, train.run(base, workdir)


def test_two_halves_equal_the_whole_bit_for_bit(base, whole, tmp_path):
    half = base.copy_and_resolve_references()
    half.train.num_steps = 3  # in the middle of a chunk of 2
    train.run(half, tmp_path)
    assert_same_bits(train.run(base, tmp_path), whole[1])


def test_an_interrupted_run_saves_says_how_to_go_on_and_equals_the_whole(
    base, whole, tmp_path, monkeypatch
):
    make = train.Recorder.__init__

    def interrupt(self, *args):
        make(self, *args)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(train.Recorder, "__init__", interrupt)
    with pytest.raises(train.Interrupted, match="SIGTERM at step 2 of 6") as stop:
        train.run(base, tmp_path)
    assert stop.value.number == signal.SIGTERM
    monkeypatch.undo()
    assert_same_bits(train.run(base, tmp_path), whole[1])
    steps = [line["step"] for line in lines(tmp_path)]
    assert steps == [2, 4, 6]


@pytest.mark.as_in_use
def test_streaming_trains_to_the_same_bits_as_resident_data(base, tmp_path):
    streamed = base.copy_and_resolve_references()
    streamed.data.resident_mib = 0
    resident = train.run(base, tmp_path / "resident")
    assert_same_bits(train.run(streamed, tmp_path / "streamed"), resident)


def test_one_compiled_loop_trains_as_single_calls_do(base, whole, tmp_path, monkeypatch):
    config = base.copy_and_resolve_references()
    # Adam would make a whole step of a gradient that rounding moved off zero.
    changes = {"name": "sgd", "learning_rate": 0.05}
    for net in ("generator", "discriminator"):
        config.optim[net].update(changes)
    # And of larger images one of the leaky ReLUs might be given a zero, to rounding.
    config.data.image_size = config.nets.generator.image_size = 8
    config.evaluators.quality.every_steps = 0
    config.train.num_steps = 3
    forms = {"looped": parallel.scan_chunk, "single": parallel.loop_chunk, "exact": exact_chunk}
    nets, losses = [], []
    for name, form in forms.items():
        monkeypatch.setattr(parallel, "jit_chunk", form)
        state = train.run(config, tmp_path / name)
        nets.append({name: (net.params, net.model_state) for name, net in state.nets.items()})
        losses.append([line["g_loss"] for line in lines(tmp_path / name)])
    assert_no_further(*nets, size=of_layer)
    assert_no_further(*losses)


@pytest.mark.parametrize("form", ["loop_chunk", "scan_chunk"])
def test_a_step_is_compiled_once_in_a_run(base, tmp_path, monkeypatch, caplog, form):
    monkeypatch.setattr(parallel, "jit_chunk", getattr(parallel, form))
    config = base.copy_and_resolve_references()
    # Chunks of 2 in which it logs, samples, evaluates, and does nothing of the kind.
    config.update_from_flattened_dict({"train.num_steps": 10, "train.log_every": 6})
    with jax.log_compiles():
        train.run(config, tmp_path)
    names = {"loop_chunk": "jit(one)", "scan_chunk": "jit(compiled)"}
    said = [line for line in caplog.messages if line.startswith("Finished XLA compilation of ")]
    assert sum(f" {names[form]} " in line for line in said) == 1, said


def test_one_seed_gives_the_same_run_and_another_seed_another(base, whole, tmp_path):
    assert_same_bits(train.run(base, tmp_path / "same"), whole[1])
    other = base.copy_and_resolve_references()
    other.seed = 1
    a, b = leaves(train.run(other, tmp_path / "other")), leaves(whole[1])
    assert any((a[path] != b[path]).any() for path in a if "kernel" in path)


def test_the_run_folder_holds_metrics_grids_animation_and_events(whole):
    workdir, _ = whole
    logged = lines(workdir)
    assert [line["step"] for line in logged] == [2, 4, 6]
    wanted = {"time", "epoch", "d_loss", "g_loss", "accuracy_real"}
    assert wanted <= logged[0].keys()
    assert logged[1]["images_per_second"] > 0
    assert logged[-1]["epoch"] == pytest.approx(6 * 8 / 64)
    for line in logged:
        parts = 0.5 * line["discriminator/real"] + 0.5 * line["discriminator/fake"]
        assert line["d_loss"] == pytest.approx(parts, rel=1e-4)
    grids = sorted(path.name for path in (workdir / "samples").iterdir())
    assert grids == [f"epoch_0000_step_000000{step}.png" for step in (2, 4, 6)]
    with Image.open(workdir / "samples.gif") as animation:
        assert animation.n_frames == 3
    assert list(workdir.glob("events.out.tfevents.*"))


def test_a_finished_run_started_again_changes_nothing(base, whole):
    workdir, state = whole
    before = (workdir / "metrics.jsonl").read_text()
    assert_same_bits(train.run(base, workdir), state)
    assert (workdir / "metrics.jsonl").read_text() == before


def test_another_config_is_refused_with_the_difference(base, whole):
    other = base.copy_and_resolve_references()
    other.loss.adversarial = "hinge"
    other.optim.generator.learning_rate = 0.5
    with pytest.raises(UserError) as error:
        train.run(other, whole[0])
    message = str(error.value)
    assert "loss.adversarial: 'non_saturating' there, 'hinge' now" in message
    assert "optim.generator.learning_rate: 0.001 there, 0.5 now" in message
    assert "seed" not in message


def test_a_folder_that_holds_what_is_not_a_run_is_refused(base, tmp_path):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "mine.png").write_text("precious")
    with pytest.raises(UserError, match="has samples but no config.json"):
        train.run(base, tmp_path)
    assert (tmp_path / "samples" / "mine.png").read_text() == "precious"


def test_a_second_process_in_the_same_folder_is_refused(base, tmp_path):
    with train.run_folder.locked(tmp_path), pytest.raises(UserError, match="Another process"):
        train.run(base, tmp_path)


def test_a_run_beyond_num_steps_says_so(base, whole):
    shorter = base.copy_and_resolve_references()
    shorter.train.num_steps = 3
    with pytest.raises(UserError, match="at step 6 already, beyond train.num_steps 3"):
        train.run(shorter, whole[0])
    train.run(base, whole[0])


def test_data_that_fails_midway_loses_nothing_that_was_done(base, whole, tmp_path, monkeypatch):
    read = pipeline.Pipeline.feeds

    def failing(self, start, chunks):
        for i, feed in enumerate(read(self, start, chunks)):
            if i == 2:
                raise UserError("gone")
            yield feed

    monkeypatch.setattr(pipeline.Pipeline, "feeds", failing)
    with pytest.raises(UserError, match="gone"):
        train.run(base, tmp_path)
    monkeypatch.undo()
    assert [line["step"] for line in lines(tmp_path)] == [2, 4]
    assert_same_bits(train.run(base, tmp_path), whole[1])


def test_metrics_of_a_resumed_run_are_those_of_an_uninterrupted_one(base, tmp_path):
    config = base.copy_and_resolve_references()
    config.update_from_flattened_dict({"train.log_every": 6, "checkpoint.every_steps": 2})
    half = config.copy_and_resolve_references()
    half.train.num_steps = 4
    train.run(half, tmp_path / "halves")
    train.run(config, tmp_path / "halves")
    train.run(config, tmp_path / "whole")
    (resumed,), (straight,) = lines(tmp_path / "halves"), lines(tmp_path / "whole")
    for name in ("d_loss", "g_loss", "accuracy_fake", "generator/adversarial"):
        assert resumed[name] == straight[name]


def test_changed_data_is_refused(base, whole):
    other = base.copy_and_resolve_references()
    from gans.data import digits

    shorter = digits.load(split="train[:32]", image_size=32, channels=1)
    with pytest.raises(UserError, match="data has changed"):
        train.run(other, whole[0], source=shorter)


def test_divergence_names_step_and_term_and_leaves_the_last_checkpoint(base, tmp_path, monkeypatch):
    config = base.copy_and_resolve_references()
    config.train.num_steps = 4
    train.run(config, tmp_path)
    good = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*.json")}
    # The same run, its weights spoiled: resuming with another learning rate is refused.
    spoiled = config.copy_and_resolve_references()
    spoiled.optim.generator.learning_rate = 1e38
    monkeypatch.setattr(build.ranges, "check", lambda fields: None)  # which would refuse it
    spoiled.train.num_steps = 10
    (tmp_path / "config.json").write_text(json.dumps(train.schema.to_plain(spoiled)))
    with pytest.raises(
        UserError, match=r"discriminator/fake .* at step 6; the checkpoint of step 4"
    ):
        train.run(spoiled, tmp_path)
    assert good == {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*.json")}


def test_parameters_that_are_not_finite_are_never_saved(base, tmp_path, monkeypatch):
    config = base.copy_and_resolve_references()
    config.optim.generator.learning_rate = float("inf")
    monkeypatch.setattr(build.ranges, "check", lambda fields: None)  # which would refuse it
    config.train.num_steps = config.train.steps_per_call = 1
    with pytest.raises(UserError, match=r"number in the generator .* step 1; there is no check"):
        train.run(config, tmp_path)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(base, whole, tmp_path, capfd):
    train.run(base, tmp_path)
    newest = tmp_path / "checkpoints" / "6"
    largest = max(newest.rglob("*"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    assert_same_bits(train.run(base, tmp_path), whole[1])
    assert "is damaged" in capfd.readouterr().err


def test_images_that_do_not_fit_the_networks_are_refused_before_anything_is_written(base, tmp_path):
    config = base.copy_and_resolve_references()
    config.data.image_size = config.nets.generator.image_size = 30
    with pytest.raises(UserError, match="30 is not a multiple of 4"):
        train.run(config, tmp_path / "run")
    config.data.image_size = 36
    config.nets.generator.image_size = 32
    with pytest.raises(UserError, match=r"\(32, 32, 1\), but the data has \(36, 36, 1\)"):
        train.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "first, total, size, ends",
    [
        (0, 6, 2, [2, 4, 6]),
        (0, 5, 2, [2, 4, 5]),
        (3, 8, 4, [4, 8]),
        (6, 6, 2, []),
        (0, 3, 100, [3]),
    ],
)
def test_chunks_end_at_the_same_steps_wherever_a_run_starts(first, total, size, ends):
    assert loop.chunk_ends(first, total, size) == ends


@pytest.mark.parametrize(
    "before, after, every, due",
    [(0, 2, 2, True), (2, 3, 2, False), (3, 9, 4, True), (4, 8, 8, True), (0, 5, 0, False)],
)
def test_an_event_is_due_at_the_first_boundary_after_its_multiple(before, after, every, due):
    assert recorder.is_due(before, after, every) is due


def evaluated(config, **changes):
    """The config with an evaluation every two steps, and the best of them kept."""
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict(
        {
            "evaluators.quality.every_steps": 2,
            "checkpoint.every_steps": 4,
            "checkpoint.best": "quality/classifier_score",
            "train.sample_every": 2,
        }
        | changes
    )
    return config


def record(workdir, name="classifier_score"):
    found = (workdir / "evaluations.jsonl").read_text().splitlines()
    return [(line["step"], line["values"][name]) for line in map(json.loads, found)]


def held(workdir):
    (folder,) = (workdir / "best").glob("[0-9]*")
    value = json.loads((folder / "position.json").read_text())["best"]
    return int(folder.name), *value.values()


class Killed(BaseException):
    """Stands for a SIGKILL: nothing tidies up after it that could write."""


@pytest.fixture(scope="module")
def undisturbed(base, tmp_path_factory):
    """The folder of a run that was evaluated on its way, and never stopped."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    train.run(evaluated(base), workdir)
    return workdir


@pytest.mark.parametrize("moment", ["before best", "before record", "after record", "picture"])
def test_record_and_best_agree_wherever_a_run_is_killed(
    base, undisturbed, tmp_path, monkeypatch, moment
):
    config = evaluated(base)
    owner, name = {
        "before best": (open_run.best.Best, "offer"),
        "before record": (writers.RunWriter, "evaluations"),
        "after record": (Progress, "note"),
        "picture": (writers.RunWriter, "samples"),
    }[moment]
    real = getattr(owner, name)

    def killed(self, *args, **kwargs):
        if (tmp_path / "run" / "checkpoints" / "4").exists() and not moment.startswith("after"):
            raise Killed
        if moment.startswith("after") and args and args[0].startswith("step 4"):
            raise Killed
        return real(self, *args, **kwargs)

    with monkeypatch.context() as broken:
        broken.setattr(owner, name, killed)
        with pytest.raises(Killed):
            train.run(config, tmp_path / "run")
    train.run(config, tmp_path / "run")
    assert record(tmp_path / "run") == record(undisturbed)
    assert held(tmp_path / "run") == held(undisturbed)
    assert held(tmp_path / "run") == min(record(tmp_path / "run"), key=lambda pair: pair[1])
    shown = [
        sorted(p.name for p in (x / "samples").iterdir()) for x in (tmp_path / "run", undisturbed)
    ]
    assert shown[0] == shown[1]


def test_a_best_that_was_recorded_and_not_kept_is_made_again(base, tmp_path):
    config = evaluated(base, **{"train.num_steps": 4, "evaluators.quality.every_steps": 4})
    train.run(config, tmp_path)
    best = held(tmp_path)
    shutil.rmtree(tmp_path / "best")
    train.run(config, tmp_path)
    assert held(tmp_path) == best


@pytest.fixture
def hangups():
    """SIGHUP as a terminal's programs get it, also where nohup has it ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hangups")
def test_a_stop_saves_and_leaves_pictures_and_evaluations_to_the_next_start(
    base, tmp_path, monkeypatch
):
    config = evaluated(base, **{"checkpoint.best": ""})
    run = train.Recorder._evaluate

    def interrupted(self, step, *args):
        if step == 4:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)  # a second one drops nothing
        return run(self, step, *args)

    with monkeypatch.context() as broken:
        broken.setattr(train.Recorder, "_evaluate", interrupted)
        broken.setattr(writers.RunWriter, "animation", lambda self: pytest.fail("a GIF at a stop"))
        with pytest.raises(train.Interrupted, match="SIGHUP at step 4 of 6"):
            train.run(config, tmp_path / "run")
    assert [step for step, _ in record(tmp_path / "run")] == [2]
    assert not standing.is_finished(tmp_path / "run", config)
    train.run(config, tmp_path / "run")
    train.run(config, tmp_path / "whole")
    assert record(tmp_path / "run") == record(tmp_path / "whole")
    assert standing.is_finished(tmp_path / "run", config)


def test_a_stop_in_the_last_evaluation_is_no_finished_run(base, tmp_path, monkeypatch):
    config = evaluated(base, **{"checkpoint.best": "", "evaluators.quality.every_steps": 6})
    run = train.Recorder._evaluate

    def interrupted(self, *args):
        signal.raise_signal(signal.SIGTERM)
        return run(self, *args)

    with monkeypatch.context() as broken:
        broken.setattr(train.Recorder, "_evaluate", interrupted)
        with pytest.raises(train.Interrupted, match="at step 6 of 6"):
            train.run(config, tmp_path)
        assert not standing.is_finished(tmp_path, config)
        with pytest.raises(train.Interrupted, match="at step 6 of 6"):  # and again
            train.run(config, tmp_path)
    train.run(config, tmp_path)
    assert [step for step, _ in record(tmp_path)] == [6]
    assert standing.is_finished(tmp_path, config) and (tmp_path / "samples.gif").exists()


@pytest.mark.parametrize("failing", ["metrics.jsonl", "evaluations.jsonl"])
def test_a_full_disk_ends_a_run_with_one_sentence_and_its_checkpoint(
    base, tmp_path, monkeypatch, failing
):
    config = evaluated(base, **{"checkpoint.best": "", "checkpoint.every_steps": 2})
    append = writers.append_lines

    def full(path, lines):
        if path.name == failing and (tmp_path / "checkpoints" / "2").exists():
            raise UserError(f"Cannot write {path}: No space left on device.")
        append(path, lines)

    with monkeypatch.context() as broken:
        broken.setattr(writers, "append_lines", full)
        with pytest.raises(UserError, match=f"{failing}: No space left on device"):
            train.run(config, tmp_path)
    assert (tmp_path / "checkpoints" / "2").exists()
    train.run(config, tmp_path)
    assert [step for step, _ in record(tmp_path)] == [2, 4, 6]


def test_speed_is_that_of_the_chunks_from_the_first_line_on(base, tmp_path, monkeypatch):
    """Chunks of 2 x 8 images that end a second apart, whatever the host does."""
    ends = iter(range(1, 100))
    monkeypatch.setattr(loop, "_end", lambda metrics: float(next(ends)))
    monkeypatch.setattr(loop.time, "perf_counter", lambda: 0.0)
    train.run(evaluated(base, **{"checkpoint.best": ""}), tmp_path)
    found = [line.get("images_per_second") for line in lines(tmp_path)]
    assert found == [None, 16.0, 16.0]


def test_a_config_enters_build_once_and_initialisation_is_traced_once(base, tmp_path, monkeypatch):
    counts = collections.Counter()

    def counted(name):
        real = getattr(build, name)

        def call(*args, **fields):
            counts[name] += 1
            return real(*args, **fields)

        return call

    names = ("experiment", "game", "nets", "create_state")
    for name in names:
        monkeypatch.setattr(build, name, counted(name))
    config = base.copy_and_resolve_references()
    config.train.num_steps = 4
    train.run(config, tmp_path)
    assert counts == dict.fromkeys(names, 1)
    config.train.num_steps = 6  # and as much when it goes on
    train.run(config, tmp_path)
    assert counts == dict.fromkeys(names, 2)
