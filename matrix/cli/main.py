"""The command `matrix`: its verbs, and the one place where every error becomes one clear line.

Exit codes: 0 done; 1 an error in the data, the query or the run; 2 a wrong command line; 130 stopped by Ctrl-C.
Rows go to stdout, words to stderr, and a closed pipe (``| head``) is the end of the work, not an error.
Verbs are imported when they are called for, and each imports the library inside its function, so that
``matrix --help`` does not wait for numpy and its like.
"""

from __future__ import annotations

import importlib
import importlib.abc
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from matrix.cli import output
from matrix.errors import MatrixError

#: Verbs in the order in which a newcomer meets them, and the file each is in.
VERBS = {
    "demo": "demo",
    "run": "run",
    "query": "query",
    "watch": "watch",
    "serve": "serve",
    "check": "check",
    "info": "info",
    "replay": "replay",
    "resume": "resume",
    "fork": "fork",
    "diff": "diff",
    "import": "import_files",
    "export": "export",
    "report": "report",
    "verify": "verify",
    "reindex": "reindex",
    "compact": "compact",
}

_RUNS_OTHERS_CODE = {"run", "import", "replay", "resume", "fork"}


class Verbs(click.Group):
    """The group of verbs: loads one when it is asked for, and ends the process with the right code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command = importlib.import_module(f"matrix.cli.{VERBS[cmd_name]}").command
        assert isinstance(command, click.Command), f"matrix.cli.{VERBS[cmd_name]} holds no command"
        return command

    def main(  # type: ignore[override]  # click's own returns when asked to; ours always exits
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        if args is None and not _RUNS_OTHERS_CODE & set(sys.argv[1:2]):
            from matrix.query.spare import spare_pandas

            spare_pandas()  # not where code of others runs (programs, importers)
        sys.exit(self.run_to_code(list(sys.argv[1:] if args is None else args)))

    def run_to_code(self, arguments: list[str]) -> int:
        """Run one command line; every way it can end becomes an exit code."""
        try:
            with self.make_context("matrix", arguments) as context, output.diagnostics():
                self.invoke(context)
            sys.stdout.flush()
        except click.exceptions.Exit as end:
            return end.exit_code
        except click.ClickException as error:
            output.explain_usage(error)
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            _hush()
            output.words("stopped", style="yellow")
            return 130
        except BrokenPipeError:
            _forget_stdout()
        except MatrixError as error:
            return output.explain(str(error))
        except Exception as error:
            return output.explain_unexpected(error)
        return 0


def _hush() -> None:
    # A second Ctrl-C leaves coroutines behind in the middle of a step; what they say when collected helps nobody.
    import warnings

    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")


def _forget_stdout() -> None:
    # The reader of our pipe has gone. The interpreter flushes stdout once more as it ends, which would raise again.
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # stdout is not a file (a test's buffer): nothing is flushed to a pipe
        return


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nExample:\n  matrix run examples/negotiation.py --store runs --seed 7\n"
    "  matrix query runs 'agents where goal succeeded | count by role'",
)
@click.version_option(package_name="matrix-runtime", message="matrix %(version)s")
def main() -> None:
    """Run societies of agents, keep every event, and ask the whole history questions."""


if __name__ == "__main__":
    main()
