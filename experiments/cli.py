"""What every command does with its flags and with a user's mistakes."""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

from gans import runtime
from gans.errors import UserError


def run(main: Callable[..., int | None], *, takes_arguments: bool = False) -> None:
    """Parses the flags and calls `main`; a `UserError` becomes one sentence and exit status 2.

    Args:
      main: what the command does; returns its exit status, None being 0.
      takes_arguments: whether `main` is given what stands beside the flags, as a list.
    """

    def guarded(argv: list[str]) -> int | None:
        if len(argv) > 1 and not takes_arguments:
            _fail(f"Nothing is known of the argument {argv[1]!r}; flags begin with two dashes.")
        try:
            return main(argv[1:]) if takes_arguments else main()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            sys.exit(130)

    runtime.prepare()
    # A path that is no UTF-8 can be printed, if not as it is; stderr does so of its own accord.
    sys.stdout.reconfigure(errors="backslashreplace")
    logging.set_verbosity(logging.WARNING)
    flags.FLAGS.set_gnu_getopt()  # flags may follow arguments
    app.run(guarded, flags_parser=_parse)


def define_step() -> flags.FlagHolder:
    """The flag `--step`, which chooses a checkpoint."""
    about = "Of the checkpoint, or best for the one kept as such; the newest by default."
    return flags.DEFINE(_Step(), "step", None, about)


def define_hosts() -> None:
    """The flags by which several processes join, for `together`."""
    flags.DEFINE_bool("distributed", False, "Train together with the processes of other hosts.")
    about = "host:port of process 0, where neither Slurm nor a TPU pod says it."
    flags.DEFINE_string("coordinator", None, about)
    flags.DEFINE_integer("num_processes", None, "How many there are.", lower_bound=1)
    flags.DEFINE_integer("process_id", None, "Which of them this is, from 0.", lower_bound=0)
    about = "Seconds to wait for the others at the beginning."
    flags.DEFINE_integer("connect_timeout", 120, about, lower_bound=1)


@contextlib.contextmanager
def together() -> Iterator[None]:
    """Joins the other processes if the flags say so; if this one fails, the others soon know.

    Raises:
      UserError: they could not be joined.
    """
    from gans import hosts

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
        message = hosts.whose_fault(error) or own
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
        return config_flags.DEFINE_config_file(name, path, about)


class _Step(flags.ArgumentParser):
    """A number, or the word best."""

    def parse(self, argument: str) -> int | str:
        if argument == "best" or isinstance(argument, int):
            return argument
        if not argument.isdecimal():
            raise ValueError("it is neither a number nor best")
        return int(argument)


def _parse(argv: list[str]) -> list[str]:
    """Sets the flags. ml_collections and absl raise all sorts of things on a wrong one."""
    for argument, following in zip(argv[1:], [*argv[2:], ""], strict=False):
        name, equals, value = argument.lstrip("-").partition("=")
        path = value if equals else following
        if name in ("config", "slurm") and not Path(path.rpartition(":")[0] or path).is_file():
            _fail(f"There is no config file {path}; look for one in configs/.")
    with _in_sentences():
        return flags.FLAGS(argv)


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
            _fail(f"The config has no such field ({error.args[0]}).")
        _fail(f"The config has no field {near[2]!r}; did you mean {near[1]!r}?")
    except (flags.Error, TypeError, ValueError) as error:
        # The cause stands in the last line, behind a traceback if the config file raised it.
        _fail(str(error).strip().splitlines()[-1])


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
