"""What every command does with its flags and with a user's mistakes."""

from __future__ import annotations

import ast
import contextlib
import decimal
import difflib
import io
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from experiments import machine, runtime
from gans.errors import UserError
from gans.files import paths

# Flags that are defined here are those of the command that asks for them, as --help shows them.
flags.disclaim_key_flags()


def run(main: Callable[..., int | None], *, takes_arguments: bool = False) -> None:
    """Parses the flags and calls `main`; a user's mistake becomes one sentence and exit status 2.

    So does what the machine refuses: see `experiments.machine`.

    Args:
      main: what the command does; returns its exit status, None being 0.
      takes_arguments: whether `main` is given what stands beside the flags, as a list.
    """

    def called(argv: list[str]) -> int | None:
        if len(argv) > 1 and not takes_arguments:
            _fail(f"Nothing is known of the argument {argv[1]!r}; flags begin with two dashes.")
        return main(argv[1:]) if takes_arguments else main()

    with _guarded(), _to_the_reader():
        runtime.prepare()
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: names need not be UTF-8
        logging.set_verbosity(logging.WARNING)
        flags.FLAGS.set_gnu_getopt()  # flags may follow arguments
        app.run(called, flags_parser=_parse)


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Ends the program in a sentence if something fails that is not the program's fault."""
    try:
        yield
    except UserError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        message = machine.complaint(error)
        if message is None:
            raise
        _fail(message)


@contextlib.contextmanager
def _to_the_reader() -> Iterator[None]:
    """Ends the program as a signal would if nobody reads any more what it prints, as after head."""
    try:
        try:
            yield
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        # At the end Python would try once more to print what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)


def define_step() -> flags.FlagHolder:
    """The flag `--step`, which chooses a checkpoint."""
    about = (
        "The step of the checkpoint to load, or best for the one that checkpoint.best keeps; by "
        "default the newest."
    )
    return flags.DEFINE(_Step(), "step", None, about)


def define_path(
    name: str, default: str | None, about: str, *, required: bool = False
) -> flags.FlagHolder:
    """A flag for a file or folder: a `Path`, in which `~` is the home folder, or None."""
    return flags.DEFINE(_Path(), name, default, about, required=required)


def define_paths(name: str, about: str) -> flags.FlagHolder:
    """A flag for files that may be given several times: a list of what `define_path` gives."""
    return flags.DEFINE_multi(_Path(), flags.ArgumentSerializer(), name, [], about)


def define_seed(default: int | None, about: str) -> flags.FlagHolder:
    """The flag `--seed`: see `gans.config.ranges.SEED`."""
    return flags.DEFINE_integer("seed", default, about, lower_bound=0, upper_bound=2**32 - 1)


def define_hosts() -> None:
    """The flags by which several processes join, for `together`."""
    flags.DEFINE_bool("distributed", False, "Train together with processes on other hosts.")
    about = "The host:port of process 0; needed where neither Slurm nor a TPU pod provides it."
    flags.DEFINE_string("coordinator", None, about)
    about = "How many processes train together; needs --distributed."
    flags.DEFINE_integer("num_processes", None, about, lower_bound=1)
    about = "The number of this process among those that train together, from 0."
    flags.DEFINE_integer("process_id", None, about, lower_bound=0)
    about = "Seconds to wait at the start until all processes have joined."
    flags.DEFINE_integer("connect_timeout", 120, about, lower_bound=1)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Joins the other processes if the flags say so; if this one fails, the others soon know.

    Raises:
      UserError: they could not be joined.
    """
    from gans.parallel import hosts

    given = [flags.FLAGS[name].value for name in ("coordinator", "num_processes", "process_id")]
    if not flags.FLAGS.distributed:
        if any(value is not None for value in given):
            raise UserError("--coordinator, --num_processes and --process_id need --distributed.")
        yield
        return
    hosts.connect(*given, timeout=flags.FLAGS.connect_timeout)
    try:
        yield
    except Exception as error:
        own = str(error) if isinstance(error, UserError) else None
        message = hosts.whose_fault(error) or own or machine.complaint(error)
        if message is None:
            traceback.print_exc()
        else:
            print(f"error: {message}", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit, at which the runtime would wait for processes that wait for this one.
        os._exit(1 if message is None else 2)


def define_config(name: str, path: str, about: str) -> flags.FlagHolder:
    """A flag for a config file, `path` by default; its fields are parsed when it is defined."""
    with _in_sentences():
        holder = config_flags.DEFINE_config_file(name, path, about)
    if (config := flags.FLAGS[name].value) is not None:
        fields = "".join(f"\n--{name}.{field}={value!r}" for field, value in config.items())
        flags.FLAGS[name].help += f"\nIts fields and what they are:{fields}"
    return holder


_HELP = ("--help", "-help", "-h", "-?", "--helpshort", "--helpfull")


class _Whole(flags.IntegerParser):
    """A whole number, which may be written as 1e5."""

    def convert(self, argument: int | str) -> int:
        try:
            return super().convert(argument)
        except ValueError:
            pass
        try:
            number = decimal.Decimal(argument)
        except decimal.InvalidOperation:
            number = decimal.Decimal("nan")
        # Of 1e1000000000 there is no making a whole number.
        if not number.is_finite() or number.adjusted() > 30 or number != int(number):
            raise ValueError("it is no whole number")
        return int(number)


class _Real(flags.FloatParser):
    """A number."""

    def convert(self, argument: float | str) -> float:
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError("it is no number") from None


class _Truth(flags.BooleanParser):
    """True or False."""

    def parse(self, argument: bool | int | str) -> bool:
        try:
            return super().parse(argument)
        except (TypeError, ValueError):
            raise ValueError("it is neither True nor False") from None


class _Section(flags.ArgumentParser):
    """A section of a config as a literal dict, which takes the place of the whole section."""

    def parse(self, argument: str | ConfigDict) -> ConfigDict:
        if isinstance(argument, ConfigDict):
            return argument
        try:
            fields = ast.literal_eval(argument)
        except (SyntaxError, ValueError):
            fields = None
        if not isinstance(fields, dict):
            raise ValueError(
                "it is a section of the config: set one of its fields, by their names after a dot"
            )
        return ConfigDict(fields)


for _kind, _parser in {
    int: _Whole(),
    float: _Real(),
    bool: _Truth(),
    ConfigDict: _Section(),
}.items():
    config_flags.register_flag_parser_for_type(_kind, _parser)


class _Step(flags.ArgumentParser):
    """A number, or the word best."""

    def parse(self, argument: str) -> int | str:
        if argument == "best" or isinstance(argument, int):
            return argument
        if not argument.isdecimal():
            raise ValueError("it is neither a number nor best")
        return int(argument)


class _Path(flags.ArgumentParser):
    """A path, with `~` expanded."""

    syntactic_help = "a path"

    def parse(self, argument: str | Path) -> Path:
        if not str(argument):
            raise ValueError("it is empty")
        try:
            return paths.expanded(argument)
        except UserError as error:
            raise ValueError(str(error)) from error


def _parse(argv: list[str]) -> list[str]:
    """Sets the flags. ml_collections and absl raise all sorts of things on a wrong one."""
    argv = [_with_home(argument) for argument in argv]
    if any(argument in _HELP for argument in argv[1:]):
        app.usage(shorthelp=True, writeto_stdout=True, exitcode=0)
    for argument, following in zip(argv[1:], [*argv[2:], ""], strict=False):
        name, equals, value = argument.lstrip("-").partition("=")
        path = value if equals else following
        if name in ("config", "slurm") and not Path(path.rpartition(":")[0] or path).is_file():
            _fail(f"There is no config file {path}; look for one in configs/.")
    with _in_sentences():
        return flags.FLAGS(argv)


def _with_home(argument: str) -> str:
    """A flag that names a config file, with `~` expanded; any other argument as it is."""
    name, equals, value = argument.partition("=")
    if name.lstrip("-") not in ("config", "slurm") or not value.startswith("~"):
        return argument
    try:
        return name + equals + str(paths.expanded(value))
    except UserError as error:
        _fail(str(error))


@contextlib.contextmanager
def _in_sentences() -> Iterator[None]:
    """Ends the program with one sentence if a flag is wrong."""
    try:
        yield
    except flags.UnrecognizedFlagError as error:
        known = [name for name in flags.FLAGS if not name.startswith("test_")]
        near = difflib.get_close_matches(error.flagname.split(".")[0], known, n=1)
        hint = f"did you mean --{near[0]}?" if near else "--help lists the flags."
        _fail(f"There is no flag --{error.flagname}: {hint}")
    except (AttributeError, KeyError) as error:
        near = re.search(r'Did you mean "(.*?)" instead of "(.*?)"', str(error.args[0]))
        if near is None:
            _fail(_no_field(str(error.args[0]).strip("'\"")))
        _fail(f"The config has no field {near[2]!r}; did you mean {near[1]!r}?")
    except (flags.Error, TypeError, ValueError) as error:
        # The cause stands in the last line, behind a traceback if the config file raised it.
        _fail(str(error).strip().splitlines()[-1])


def _no_field(name: str) -> str:
    """That the config has no field of this name, and where it has one."""
    paths = [path for path in _paths(sys.argv) if path.rpartition(".")[2] == name]
    if not paths:
        return (
            f"The config has no field {name!r}; a field is named with its section before it, as "
            "in --config.train.num_steps."
        )
    return f"The config has no field {name!r}; did you mean {' or '.join(paths)}?"


def _paths(argv: list[str]) -> list[str]:
    """The fields of the config that a command line names, none if it cannot be loaded."""
    from gans.config import schema

    alone = [argument for argument in argv if argument.startswith("--config=")]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "", values, sys_argv=["", *alone])
    try:
        values(["", *alone])
        return list(schema.flatten(values["config"].value.to_dict()))
    except Exception:  # which ones, is up to the config file
        return []


def _fail(message: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
