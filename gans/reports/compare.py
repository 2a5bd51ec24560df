"""Trained runs compared: from their folders to the files a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gans.errors import UserError
from gans.files.paths import expanded
from gans.files.writing import atomic, write_json
from gans.reports import markdown, plain


def run(paths: Sequence[Path], outs: Sequence[Path], *, pictures: bool = True) -> str:
    """Compares runs, and writes what is asked for.

    Args:
      paths: run folders; or one `.json` file that an earlier comparison wrote.
      outs: files to write, a page (`.html`, a `.csv` beside it) or plain data (`.json`).
      pictures: whether the page has pictures, for which checkpoints and data are loaded.

    Returns:
      The table in Markdown.

    Raises:
      UserError: a folder holds no run with evaluations, the runs are of different data, or a
        file cannot be read or written.
    """
    paths, outs = [*map(expanded, paths)], [*map(expanded, outs)]
    _check(paths, outs)
    if paths[0].suffix == ".json":
        return markdown.comparison(plain.read(paths[0]))
    from gans.reports import groups, tables  # with pandas, which a .json file does not need

    found = groups.read(paths)
    content = tables.rounded(tables.compare(found))
    for path in outs:
        if path.suffix == ".json":
            write_json(path, content)
        else:
            # The numbers first: if the folder cannot be written, it is known before the pictures.
            _write(path.with_suffix(".csv"), tables.as_csv(content))
            from gans.reports import images, page  # with what draws, and the networks

            shown = images.of_groups(found) if pictures else None
            _write(path, page.comparison(found, content, shown))
    return markdown.comparison(content)


def _check(paths: Sequence[Path], outs: Sequence[Path]) -> None:
    if not paths:
        raise UserError("Name the folders of the runs to compare, as in runs/dcgan* runs/cgan*.")
    for path in outs:
        if path.suffix not in (".html", ".json"):
            raise UserError(f"--out={path} must end in .html for a page or .json for plain data.")
        if path.is_dir():
            raise UserError(f"--out={path} is a folder; name a file.")
    if any(path.suffix == ".json" for path in paths) and (outs or len(paths) > 1):
        raise UserError("A .json file of a comparison stands alone, and only its table is printed.")


def _write(path: Path, text: str) -> None:
    with atomic(path) as file:
        file.write(text.encode())
