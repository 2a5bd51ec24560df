"""Compares what theory says about the game with what training does, on known densities.

    python -m experiments.theory --out=theory

writes theory/theory.html, a page with figures that needs nothing but a browser, and
theory/theory.json, all its numbers. It takes a minute or two on two CPU cores.
"""

import os
from pathlib import Path

from experiments import cli

_OUT = cli.define_path(
    "out", None, "The folder to write the page and the numbers to.", required=True
)
_SEED = cli.define_seed(0, "The seed of everything random.")


def main() -> None:
    out = _folder(_OUT.value)

    from tqdm import tqdm

    from experiments.studies.theory import report
    from experiments.studies.theory.studies import Sizes
    from gans.files import writing

    sizes = Sizes()
    with tqdm(desc="theory", total=sizes.total, unit="step", disable=None) as bar:
        found = report.find(_SEED.value, sizes, bar.update)
    numbers = report.numbers(found)
    writing.write_json(out / "theory.json", numbers)
    with writing.atomic(out / "theory.html") as file:
        file.write(report.page(found).encode())
    print(
        f"D differs from D* by {numbers['fixed_generator']['largest_deviation_of_d']:.4f} at most, "
        f"V from -log 4 + 2 JSD by {numbers['both']['largest_deviation_of_v']:.5f}.\n"
        f"To read: {out / 'theory.html'}"
    )


def _folder(out: Path) -> Path:
    """The folder to write, made now: not to learn after a minute that it cannot be."""
    from gans.errors import UserError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out={out} cannot be made a folder: {error.strerror}.") from error
    if not os.access(out, os.W_OK | os.X_OK):
        raise UserError(f"--out={out} cannot be written; give another folder.")
    return out


if __name__ == "__main__":
    cli.run(main)
