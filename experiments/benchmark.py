"""Times training, sampling, translating and evaluating, alone or beside PyTorch.

    python -m experiments.benchmark --cases=all --against=torch --out=results.json
    python -m experiments.benchmark --cases=dcgan-32,translate-2mp
    python -m experiments.benchmark --config=configs/dcgan_cifar10.py --batch_sizes=32,64
    python -m experiments.benchmark --config=configs/dcgan_cifar10.py --task=sample
    python -m experiments.benchmark --startup --config=configs/dcgan_digits.py
    python -m experiments.benchmark --growth --config=configs/dcgan_cifar10.py --figure=growth.svg
    python -m experiments.benchmark results.json

No data set is needed: the images are noise. The last form prints the table of earlier results
again. `--against=torch` runs the same networks, losses, optimizers and batches in PyTorch, in the
fastest of its forms, by turns with this code. It first checks that both find the same losses, and
stops if they do not. Any field of a config can be changed, as in training.

The times are meaningful only on a machine that does nothing else. Results are in
experiments/studies/benchmark/README.md.
"""

import functools
import importlib
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from experiments import cli

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The config file of an experiment to time, in place of --cases."
)
_CASES = flags.DEFINE_list(
    "cases", [], "Named cases to time, or all for every one; an unknown name prints the list."
)
_TASK = flags.DEFINE_enum(
    "task",
    "train",
    ["train", "sample", "translate", "evaluate"],
    "Which task of the experiment in --config to time.",
)
_BATCH_SIZES = flags.DEFINE_list(
    "batch_sizes", [], "Batch sizes to time --config with, e.g. 32,64, in place of its own."
)
_AGAINST = flags.DEFINE_enum(
    "against", "", ["", "torch"], "Time PyTorch by turns with this code; empty for this code alone."
)
_ROUNDS = flags.DEFINE_integer(
    "rounds", 7, "How many blocks of iterations are timed on each side.", lower_bound=1
)
_SECONDS = flags.DEFINE_float(
    "seconds", 3.0, "About how many seconds a block of iterations takes.", lower_bound=0.0
)
_COMPILE = flags.DEFINE_float(
    "compile_seconds",
    300.0,
    "The most seconds that a compiled form of PyTorch may take to its first iteration; 0 leaves "
    "torch.compile out.",
    lower_bound=0.0,
)
_STARTUP = flags.DEFINE_bool(
    "startup", False, "Time how long --config takes from the command to its first step."
)
_GROWTH = flags.DEFINE_bool(
    "growth", False, "Time --config at several batch sizes, image sizes and network widths."
)
_OUT = cli.define_path("out", None, "The .json file to write the results to.")
_FIGURE = cli.define_path(
    "figure", None, "The .svg or .png file to draw the results of --growth in."
)


def main(arguments: list[str]) -> None:
    from experiments.studies.benchmark import growth, report
    from gans.errors import UserError
    from gans.files import writing

    out, figure = _OUT.value, _FIGURE.value
    if out is not None and out.suffix != ".json":
        raise UserError(f"--out={out} must end in .json.")
    if figure is not None:
        growth.check(figure)
    if figure is not None and not (_GROWTH.value or arguments):
        raise UserError("--figure draws the growth of costs: give --growth with it.")
    content = report.read(_file(arguments)) if arguments else _measured(out)
    print(report.markdown(content), end="", flush=True)
    if out is not None:
        writing.write_json(out, content)
    if figure is not None:
        if not content.get("growth"):
            raise UserError(f"There is nothing for --figure to draw in {arguments[0]}.")
        growth.draw(content["growth"], figure)


def _file(arguments: list[str]) -> Path:
    from gans.errors import UserError
    from gans.files.paths import expanded

    if len(arguments) > 1 or not arguments[0].endswith(".json") or _CONFIG.value or _CASES.value:
        raise UserError("Give one .json file of results alone, or flags that say what to time.")
    return expanded(arguments[0])


def _measured(out: Path | None) -> dict:
    """What the flags ask for; cases that are done are in `out` while others are timed."""
    from experiments.studies.benchmark import growth, machine, run, startup
    from gans.errors import UserError
    from gans.files import writing

    how = run.How(_ROUNDS.value, _SECONDS.value, _AGAINST.value, _COMPILE.value)
    if not (_STARTUP.value or _GROWTH.value):
        keep = functools.partial(writing.write_json, out) if out else lambda content: None
        return run.run(_cases(), how, _say, keep)
    if _CONFIG.value is None:
        raise UserError("Name the experiment to time: --config=configs/dcgan_digits.py.")
    path = flags.FLAGS["config"].config_filename
    content = {"machine": machine.describe(), "how": how._asdict(), "cautions": []}
    if _STARTUP.value:
        changes = config_flags.get_override_values(flags.FLAGS["config"])
        content["startup"] = [startup.measure(path, _CONFIG.value, changes)]
    if _GROWTH.value:
        content["growth"] = growth.sweep(path, _CONFIG.value, how, _say)
    return content


def _cases() -> list:
    from experiments.studies.benchmark import cases
    from gans.errors import UserError

    if bool(_CASES.value) == bool(_CONFIG.value):
        known = ", ".join(cases.NAMED)
        raise UserError(f"Say what to time: --config=configs/x.py, or --cases=all or of {known}.")
    if _CONFIG.value:
        name = Path(flags.FLAGS["config"].config_filename.partition(":")[0]).stem
        name = name if _TASK.value == "train" else f"{_TASK.value} {name}"
        if not _BATCH_SIZES.value:
            return [cases.make(name, _TASK.value, _CONFIG.value, {})]
        return [
            cases.make(f"{name}, {size}", _TASK.value, _CONFIG.value, {"data.batch_size": size})
            for size in map(_count, _BATCH_SIZES.value)
        ]
    chosen = list(cases.NAMED) if _CASES.value == ["all"] else _CASES.value
    if unknown := [name for name in chosen if name not in cases.NAMED]:
        raise UserError(f"No case is called {unknown[0]}; there are {', '.join(cases.NAMED)}.")
    return [_named(name, *cases.NAMED[name]) for name in chosen]


def _named(name: str, task: str, config: str, changes: dict):
    from experiments.studies.benchmark import cases

    module = importlib.import_module(f"configs.{config}")
    return cases.make(name, task, module.get_config(), changes)


def _count(text: str) -> int:
    from gans.errors import UserError

    if not text.isdecimal() or not int(text):
        raise UserError(f"--batch_sizes has {text!r}: give numbers above 0, as in 32,64.")
    return int(text)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    cli.run(main, takes_arguments=True)
