"""Compares trained runs: are one config's samples better than another's, and by how much?

    python -m experiments.compare runs/dcgan* runs/cgan*
    python -m experiments.compare runs/dcgan* runs/cgan* --out=report.html
    python -m experiments.compare runs/dcgan* runs/cgan* --out=results.json
    python -m experiments.compare results.json

Runs that differ in their seeds alone are a group; each group is compared with the first one,
over seeds, at the last step that all were evaluated at, and by one protocol. The table is
printed. The page, and a CSV file beside it, have more: curves, samples of the same noise, classes,
nearest neighbours, interpolations, and in which fields the configs differ; `--nopictures` leaves
out what takes checkpoints and data. `experiments.evaluate` finds numbers for runs that have none.
"""

from pathlib import Path

from absl import flags

from experiments import cli

_OUT = cli.define_paths("out", "A file to write: .html for a page, .json for plain data")
_PICTURES = flags.DEFINE_bool(
    "pictures", True, "Put pictures into the page, for which checkpoints and data are loaded."
)


def main(arguments: list[str]) -> None:
    from gans.reports import compare

    table = compare.run([Path(path) for path in arguments], _OUT.value, pictures=_PICTURES.value)
    print(table, end="")
    for path in _OUT.value:
        print(path)


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
