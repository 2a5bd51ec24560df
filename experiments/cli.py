"""What every command does with its flags and with a user's mistakes."""

from __future__ import annotations

import sys
from collections.abc import Callable

from absl import app, logging

from gans.errors import UserError


def run(main: Callable[[], None]) -> None:
    """Parses the flags and calls `main`; a `UserError` becomes one sentence and exit status 2."""

    def parse(argv: list[str]) -> list[str]:
        try:
            return app.parse_flags_with_usage(argv)
        except (KeyError, AttributeError) as error:
            # ml_collections on a field that the config does not have.
            _fail(str(error.args[0]).replace("\n", " ").replace("\"'", "'"))
        except (OSError, ImportError, SyntaxError, ValueError, TypeError) as error:
            _fail(str(error))

    def guarded(argv: list[str]) -> None:
        if len(argv) > 1:
            _fail(f"Nothing is known of the argument {argv[1]!r}; flags begin with two dashes.")
        try:
            main()
        except UserError as error:
            _fail(str(error))
        except KeyboardInterrupt:
            sys.exit(130)

    logging.set_verbosity(logging.WARNING)
    app.run(guarded, flags_parser=parse)


def _fail(message: str) -> None:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
