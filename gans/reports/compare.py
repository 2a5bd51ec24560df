"""Trained runs compared: from their folders to the files a person reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from gans import parallel
from gans.errors import UserError
from gans.evaluation.subject import Reference
from gans.files.paths import expanded
from gans.files.writing import atomic, write_json
from gans.inference import sampling, translating
from gans.reports import comparing, digest, exhibits, groups, report
from gans.reports.groups import Group, Run
from gans.reports.report import Pictures

T = TypeVar("T")


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
        return digest.markdown(digest.read(paths[0]))
    found = groups.read(paths)
    tables, left_out = comparing.tables(found)
    content = digest.digest(tables, left_out)
    for path in outs:
        if path.suffix == ".json":
            write_json(path, content)
        else:
            # The numbers first: if the folder cannot be written, it is known before the pictures.
            _write(path.with_suffix(".csv"), digest.as_csv(content))
            shown = _pictures(found) if pictures else None
            curves = [table.curves for table in tables]
            _write(path, report.page(found, content, curves, comparing.losses(found), shown))
    return digest.markdown(content)


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


def _pictures(found: Sequence[Group]) -> Pictures:
    """Of the run with the lowest seed of each group, as far as there are some to be had."""
    first = {group.name: group.runs[0] for group in found}
    latent = {name: run for name, run in first.items() if sampling.is_latent(run.config)}
    others = {name: run for name, run in first.items() if name not in latent}
    shown = {name: _or_why(translating.of_test_images, run.workdir) for name, run in others.items()}
    made = _of_latents(latent)
    at = {name: x[1] for name, x in shown.items() if not isinstance(x, str)}
    return made._replace(
        origin=made.origin | {name: _origin(others[name], step) for name, step in at.items()},
        translations={name: x if isinstance(x, str) else x[0] for name, x in shown.items()},
    )


def _of_latents(of_group: Mapping[str, Run]) -> Pictures:
    mesh = parallel.make_mesh()
    samplers = {name: _or_why(sampling.load, run.workdir) for name, run in of_group.items()}
    references = {name: Reference(run.config, mesh) for name, run in of_group.items()}

    def each(make: Callable[..., T], *given: Mapping[str, Any]) -> dict[str, T | str]:
        """What is made of every group's sampler, or why nothing is."""
        return {
            name: sampler
            if isinstance(sampler, str)
            else _or_why(make, sampler, *(x[name] for x in given))
            for name, sampler in samplers.items()
        }

    conditional = [n for n, x in samplers.items() if not isinstance(x, str) and x.classes]
    generators = {name: x for name, x in samplers.items() if not isinstance(x, str)}
    return Pictures(
        origin={name: _origin(of_group[name], x.step) for name, x in generators.items()},
        is_shared=len({sampler.latent_dim for sampler in generators.values()}) <= 1,
        translations={},
        samples=each(exhibits.samples),
        interpolations=each(exhibits.interpolation),
        memories=each(exhibits.memories, of_group, references),
        classes={name: exhibits.by_class(samplers[name]) for name in conditional},
        real=_or_why(lambda: exhibits.real_by_class(references[conditional[0]].source("")))
        if conditional
        else {},
    )


def _origin(run: Run, step: int) -> str:
    return f"{run.name}, step {step:,}"


def _or_why(make: Callable[..., T], *given: Any) -> T | str:
    """What a function gives, or the sentence that says why it gives nothing."""
    try:
        return make(*given)
    except UserError as error:
        return str(error)
