"""From run folders to the page: complete, well formed, and it says what it could not show."""

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gans import parallel
from gans.data.source import DataInfo, Source
from gans.errors import UserError
from gans.evaluation.features import classifier
from gans.inference import sampling
from gans.reports import collect, compare, groups, images, page, tables
from gans.reports.groups import read
from gans.runs import run_folder
from gans.training import train

_VOID = {"meta", "img", "wbr", "br"}


class Page(html.parser.HTMLParser):
    """Reads a page, and fails where elements are not closed in the order they were opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.images, self.charts, self.headings = [], [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            image = dict(attrs)
            kind = image["src"].partition(";")[0]
            {"data:image/png": self.images, "data:image/svg+xml": self.charts}[kind].append(image)
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """As little work as will do: few samples, and programs that training has compiled."""
    monkeypatch.setattr(images, "_AMONG", 20)
    one = parallel.make_mesh(1)
    monkeypatch.setattr(parallel, "make_mesh", lambda: one)
    return one


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """The file of an untrained classifier of digits."""
    fields = {"stem_features": 2, "features": [2, 3], "blocks": [False, False]}
    module = classifier.Classifier(10, 2, (2, 3), (False, False))
    variables = module.init(jax.random.key(0), np.zeros((1, 32, 32, 1), np.float32), train=False)
    path = tmp_path_factory.mktemp("net") / "net.npz"
    classes = [str(i) for i in range(10)]
    classifier.save(path, variables, {"classes": classes, "network": fields})
    with pytest.MonkeyPatch.context() as patch:  # what it sees is not for the user's cache
        patch.setenv("XDG_CACHE_HOME", str(path.parent))
        yield path


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory, net):
    """A DCGAN and a conditional GAN with evaluations of steps 2 and 4."""
    from configs import cgan_digits, dcgan_digits

    common = {
        "mesh.data": 1,
        "train.num_steps": 4,
        "train.sample_every": 4,
        "evaluators.quality.weights": str(net),
        "evaluators.quality.every_steps": 2,
        "evaluators.overfitting.every_steps": 0,
        "evaluators.quality.num_real": 0,  # so that there are two of each class
    }
    compared = {"d": ("comparisons.frechet",)}
    compared["c"] = (*compared["d"], "comparisons.accuracy", "comparisons.by_class")
    made = []
    for name, module in (("d", dcgan_digits), ("c", cgan_digits)):
        config = module.get_config("test")
        config.update_from_flattened_dict(
            common | {"evaluators.quality.comparisons": compared[name]}
        )
        made.append(tmp_path_factory.mktemp("runs") / name)
        train.run(config, made[-1])
    return made


def test_the_page_has_every_section_and_every_number(workdirs, tmp_path):
    outs = [tmp_path / "report.html", tmp_path / "results.json"]
    table = compare.run(workdirs, outs)
    shown = Page(outs[0].read_text())
    assert shown.headings == [
        "In short",
        "Numbers",
        "Class by class",
        "Samples",
        "Nearest neighbours",
        "Interpolations",
        "Numbers over training",
        "Losses and accuracies in training",
        "How the configs differ",
    ]
    content = json.loads(outs[1].read_text())
    [numbers] = content["tables"]
    text = "".join(shown.text)
    for group in numbers["groups"]:
        for value in group["values"].values():
            assert ", ".join(map(str, value["values"])) in text
    assert list(numbers["metrics"]) == ["fcd", "class_accuracy", "fcd_by_class"]
    assert [(group["name"], group["step"]) for group in numbers["groups"]] == [("d", 4), ("c", 4)]
    assert numbers["protocol"]["weights"][:12] in text
    # Grids and interpolations of both, four strips of neighbours each, ten classes of two columns.
    assert len(shown.images) == 2 + 2 + 2 * 4 + 10 * 2
    sources = [image["src"] for image in (*shown.images, *shown.charts)]
    assert all(re.match("data:image/(png|svg[+]xml);base64,", source) for source in sources)
    assert "src=" not in re.sub('src="data:[^"]*"', "", outs[0].read_text())
    assert "<script" not in outs[0].read_text()
    assert len(outs[0].with_suffix(".csv").read_text().splitlines()) == 1 + sum(
        len(group["values"]) for group in numbers["groups"]
    )
    assert compare.run([outs[1]], []) == table


def test_what_two_protocols_say_alike_is_said_once(workdirs):
    found = groups.read(workdirs)
    content = tables.rounded(tables.compare(found))
    text = page.comparison(found, content | {"tables": content["tables"] * 2}, None)
    assert text.count("a difference may be chance") == 1


def test_without_pictures_neither_checkpoints_nor_data_are_touched(workdirs, tmp_path, monkeypatch):
    monkeypatch.delattr(run_folder, "restore")
    out = tmp_path / "report.html"
    compare.run(workdirs, [out], pictures=False)
    shown = Page(out.read_text())
    assert shown.images == [] and "Samples" not in shown.headings
    assert {"Numbers", "Class by class"} <= set(shown.headings)


def test_what_cannot_be_shown_is_said_in_a_sentence(workdirs, tmp_path, monkeypatch):
    def no_data(self, split):
        raise UserError("There is no data to be had.")

    monkeypatch.setattr(images.Reference, "source", no_data)
    compare.run(workdirs, [tmp_path / "report.html"])
    shown = Page((tmp_path / "report.html").read_text())
    assert shown.text.count("There is no data to be had.") == 2  # by class, and neighbours
    assert len(shown.images) == 2 + 2 + 10


def test_a_cyclegan_has_numbers_and_translations_and_no_empty_section(cycle_run, tmp_path):
    out = tmp_path / "report.html"
    assert "cycle_a ↓" in compare.run([cycle_run], [out])
    shown = Page(out.read_text())
    [translations] = shown.images
    assert int(translations["width"]) > 8 * 128  # eight columns, as in training
    of_noise = {"Class by class", "Samples", "Nearest neighbours", "Interpolations"}
    assert "Translations" in shown.headings and not of_noise & set(shown.headings)
    assert "Data: photographs, 32×32×3." in shown.text


def test_what_a_run_folder_says_is_text_in_the_page(cycle_run, tmp_path):
    strange = tmp_path / "<img src=x>"
    shutil.copytree(cycle_run, strange)
    bad = "<script>alert(1)</script>"
    lines = [json.loads(x) for x in (strange / "evaluations.jsonl").read_text().splitlines()]
    for line in lines:
        line["values"][bad] = 1.0
        line["protocol"] |= {bad: bad, "cautions": [bad], "device": bad, "versions": {bad: bad}}
    (strange / "evaluations.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))
    metrics = [json.loads(x) | {bad: 1.0} for x in (strange / "metrics.jsonl").open()]
    (strange / "metrics.jsonl").write_text("".join(json.dumps(x) + "\n" for x in metrics))
    alarm = {"step": 3, "alarm": bad, "sentence": f"{bad} and grey mush"}
    (strange / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    config = json.loads((strange / "config.json").read_text())
    config["data"]["data_dir"] = config["preview"][bad] = bad
    (strange / "config.json").write_text(json.dumps(config))
    other = tmp_path / "other"
    shutil.copytree(strange, other)
    (other / "config.json").write_text(json.dumps(config | {"seed": 1, bad: bad}))
    outs = [tmp_path / "report.html", tmp_path / "sweep.html"]
    compare.run([strange, other], outs[:1], pictures=False)
    collect.run(tmp_path, None, None, outs[1:])
    for out in outs:
        text = out.read_text()
        assert "<script>alert" not in text and "<img src=x" not in text
        assert "&lt;script&gt;alert" in text
        assert "from step 3 on: &lt;script&gt;alert(1)&lt;/script&gt; and grey mush" in text


def test_the_shape_of_images_is_text_too():
    info = DataInfo(1, ("<b>", 32, 3))
    run = SimpleNamespace(info=info, data_set="<i>", name="<u>", config=SimpleNamespace(seed=0))
    groups = [SimpleNamespace(name="<s>", runs=[run])]
    empty = dict.fromkeys(("in_short", "classes", "pictures", "losses", "differing"))
    content = {"tables": [], "left_out": []}
    text = page.render(
        "comparison.html", groups=groups, title="<u>", content=content, curves=[], **empty
    )
    assert "&lt;b&gt;×32×3" in text and not re.search("<[isu]>|<b>×", text)


def test_neighbours_of_samples_that_are_in_the_data_are_themselves(workdirs, few):
    """A generator that repeats images must be seen to."""
    [group] = read(workdirs[:1])
    sampler = sampling.load(group.runs[0].workdir)
    known = sampler.sample(20, seed=images.SEED)
    source = Source(known, None, (), (32, 32, 1))
    reference = images.Reference(group.runs[0].config, few, source)
    strips = images.nearest_neighbours(sampler, group.runs[0], reference)
    assert strips.labels == ["generated", "nearest real", "next", "next"]
    generated, nearest, following, _ = (np.asarray(x, int) for x in strips.pictures)
    assert np.abs(generated - nearest).max() <= 1 < np.abs(generated - following).max()


def test_real_images_stand_beside_their_class():
    grey = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 1), np.uint8)
    source = Source(grey, np.arange(40, dtype=np.int32) % 2, ("even", "odd"), (4, 4, 1))
    for number, strip in enumerate(images.real_by_class(source).values()):
        inner = np.asarray(strip)[3, 3 :: 4 + 2, 0][: images.EACH]
        assert (inner % 2 == number).all() and len(set(inner)) == images.EACH


@pytest.mark.parametrize(
    "out, sentence",
    [
        ("report.pdf", "must end in .html for a page or .json"),
        ("folder.html", "is a folder; name a file"),
        ("file/report.html", "Cannot write"),
        ("file/results.json", "Cannot write"),
    ],
)
def test_a_wrong_out_is_refused_before_pictures_are_made(
    workdirs, tmp_path, out, sentence, monkeypatch
):
    monkeypatch.setattr(images, "of_groups", None)
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=sentence):
        compare.run(workdirs, [tmp_path / out])


def test_without_runs_or_with_two_kinds_of_arguments_it_says_what_to_name(workdirs, tmp_path):
    with pytest.raises(UserError, match="Name the folders of the runs"):
        compare.run([], [])
    with pytest.raises(UserError, match="stands alone"):
        compare.run([tmp_path / "a.json", *workdirs], [])
    with pytest.raises(UserError, match="Cannot read"):
        compare.run([tmp_path / "a.json"], [])


def test_the_command_prints_a_table_or_one_sentence(workdirs, tmp_path):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "experiments.compare", *map(str, arguments)],
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            timeout=300,
        )

    out = tmp_path / "report.html"
    made = command(*workdirs, f"--out={out}", "--nopictures")
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("| ") and made.stdout.endswith(f"{out}\n")
    wrong = command(workdirs[0], tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: There is no run in") and wrong.stderr.count("\n") == 1


def test_what_draws_and_what_holds_tables_is_imported_only_when_needed():
    heavy = "{'jinja2', 'matplotlib', 'pandas', 'flax'}"
    code = f"import sys; from gans.reports import compare; print({heavy} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.stdout == "set()\n", result.stderr
