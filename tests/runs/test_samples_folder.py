"""However many and large the pictures of a run are, some of them stay."""

import os

from gans.runs import samples_folder
from gans.runs.samples_folder import SamplesFolder


def steps(folder):
    return [step for step, _ in folder]


def test_of_too_many_the_first_the_newest_and_evenly_spread_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(samples_folder, "_MOST", 9)
    folder = SamplesFolder(tmp_path)
    for step in range(10, 330, 10):
        folder.add(step, 0, b"x")
        kept = steps(folder)
        assert len(kept) == min(9, step // 10) and kept[0] == 10 and kept[-1] == step
    gaps = [b - a for a, b in zip(kept, kept[1:], strict=False)]
    # Even would be 310 / 8 = 39 between each two.
    assert max(gaps) <= 2 * 39 and sum(gap >= 20 for gap in gaps) >= 7


def test_of_too_large_ones_fewer_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(samples_folder, "_MOST_BYTES", 50)
    folder = SamplesFolder(tmp_path)
    for step in range(1, 20):
        folder.add(step, 0, b"x" * 10)
    assert len(steps(folder)) == 5 and steps(folder)[0] == 1 and steps(folder)[-1] == 19
    folder.add(20, 0, b"x" * 1000)  # more than there is room for
    assert steps(folder) == [1, 20]


def test_nothing_of_anybody_else_is_touched_and_nothing_half_written_stays(tmp_path):
    folder = SamplesFolder(tmp_path)
    for step in (1, 2, 3):
        folder.add(step, 0, b"x")
    samples = tmp_path / "samples"
    mine = ["epoch_mine_step_last.png", "notes.txt", ".epoch_0000_step_0000002.png.backup.1"]
    torn = [".epoch_0000_step_0000002.png.ab_d3fgh", ".epoch_0000_step_0000009.png.abcdefgh"]
    for name in mine + torn:
        (samples / name).write_text("")
    folder.drop_unfinished()
    folder.drop_after(2)
    kept = {"epoch_0000_step_0000001.png", "epoch_0000_step_0000002.png", *mine}
    assert {path.name for path in samples.iterdir()} == kept
    assert folder.has(2) and not folder.has(3)


def test_the_page_of_a_folder_whose_name_is_no_utf8_can_be_written(tmp_path):
    workdir = tmp_path / os.fsdecode(b"caf\xe9")
    folder = SamplesFolder(workdir)
    folder.add(2, 0, b"x")
    folder.write_page()
    page = (workdir / "samples.html").read_text(encoding="utf-8")
    assert "<title>caf?: samples</title>" in page
    assert 'src="samples/epoch_0000_step_0000002.png"' in page
