"""Turns the run folders of a sweep into one table, the best point first.

    python -m experiments.collect runs/lr
    python -m experiments.collect runs/lr --metric=quality/fcd --out=lr.html --out=lr.csv

Its columns are the fields that differ between the runs, the metrics at the last step, steps and
seconds; numbers found in different ways have columns of their own. The page shows the metric
against each field. Points that failed or are not trained to the end stand below the others.
"""

from pathlib import Path

from absl import flags

from experiments import cli

_METRIC = flags.DEFINE_string(
    "metric",
    None,
    "The metric to rank the runs by, e.g. quality/fcd; by default the one that most runs have.",
)
_BEST = flags.DEFINE_enum(
    "best",
    None,
    ["lower", "higher"],
    "Whether lower or higher values of --metric are better, where the code does not know it.",
)
_OUT = cli.define_paths("out", "A file to write the table to, .html or .csv")


def main(arguments: list[str]) -> None:
    from gans.errors import UserError
    from gans.reports import collect

    if len(arguments) != 1:
        raise UserError("Name one folder, the --workdir of a sweep, as in runs/lr.")
    print(collect.run(Path(arguments[0]), _METRIC.value, _BEST.value, _OUT.value), end="")
    for path in _OUT.value:
        print(path)


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
