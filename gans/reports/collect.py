"""A sweep's run folders collected: from the folder to the table a person reads."""

from __future__ import annotations

from pathlib import Path

from gans.errors import UserError
from gans.files import paths
from gans.files.writing import atomic
from gans.reports import ranking


def run(folder: Path, metric: str | None, best: str | None, outs: list[Path]) -> str:
    """Ranks the runs in a folder, and writes what is asked for.

    Args:
      folder: holds run folders.
      metric: what ranks them, as in "quality/fcd"; None for the first that can.
      best: "lower" or "higher"; None for what is known of the metric.
      outs: files to write, `.html` or `.csv`.

    Returns:
      The table in Markdown.

    Raises:
      UserError: there are no runs, no such metric, it is not known which way it is better, or a
        file cannot be written.
    """
    folder, outs = paths.expanded(folder), [paths.expanded(path) for path in outs]
    for path in outs:
        if path.suffix not in (".html", ".csv"):
            raise UserError(f"--out={path} must end in .html for a page or .csv for a table.")
        if path.is_dir():
            raise UserError(f"--out={path} is a folder; name a file.")
    found = ranking.rank(folder.resolve().name, ranking.read(folder), metric, best)
    for path in outs:
        text = _page(found) if path.suffix == ".html" else ranking.as_csv(found)
        with atomic(path) as file:
            file.write(text.encode())
    return ranking.as_markdown(found)


def _page(found: ranking.Ranking) -> str:
    from gans.reports import page  # with what draws

    return page.sweep(found)
