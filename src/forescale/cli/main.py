# SPDX-License-Identifier: Apache-2.0
"""Entry point: one module per command, imported only when that command is asked for.

Exit codes: 0 done, 1 a check failed (a red verdict under --strict, a score outside its bands under --strict),
2 usage or bad input, 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from forescale.core.errors import ForescaleError

COMMANDS = {
    "quickstart": "A first law, plan and report from the runs that ship with forescale; no network.",
    "load": "Read a table of runs: what was understood, what was derived, what looks wrong.",
    "fit": "Fit a law, or without --law the laws that extrapolate best: certified optimum, intervals, verdict.",
    "predict": "Loss at points of your choice, with two bands; --record keeps it for later scoring.",
    "score": "Compare recorded predictions with the runs that came.",
    "plan": "Answer a question with intervals: what to train, how a task will go, how to serve.",
    "backtest": "Hide the largest runs, predict them, report errors and coverage.",
    "compare": "Two arms or more over the range of their runs: who is better where, crossing, savings.",
    "benchmark": "The extrapolation benchmark: every law and method on public sweeps whose larger runs are hidden.",
    "regimes": "The regime of one curve: exponents, change points, plateau, U-shape, or one power.",
    "isoflop": "IsoFLOP profiles (Approach 2) with their bias stated and corrected.",
    "laws": "List the laws, or explain one.",
    "datasets": "List the public data sets, or show one.",
    "report": "One self-contained HTML page from a fit.",
    "study": "Published claims measured again on public runs: reproduced, not reproduced, or better.",
    "lab": "Measure runs of your own: the small trainer and its sweep.",
    "doctor": "Versions, optional packages, plug-ins that failed to load.",
}


def build(names: Sequence[str], words: Sequence[str] = ()) -> typer.Typer:
    """The application with the given commands; `words` is the command line, for commands that read ahead."""
    app = typer.Typer(
        name="forescale",
        help="From training runs to a scaling law you can trust, and from the law to the next decision.",
        no_args_is_help=True,
        add_completion=len(names) > 1,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        rich_markup_mode=None,
    )

    @app.callback()
    def _root() -> None:
        """From training runs to a scaling law you can trust, and from the law to the next decision."""

    for name in names:
        module = importlib.import_module(f"forescale.cli.{name}")
        if name == "plan":
            module.register(app, COMMANDS[name], words)
        else:
            module.register(app, COMMANDS[name])
    return app


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in ("--version", "-V"):
        from forescale import __version__

        print(f"forescale {__version__}")
        return 0
    first = next((word for word in given if not word.startswith("-")), None)
    names = [first] if first in COMMANDS else list(COMMANDS)
    try:
        app = build([n for n in names if n is not None], given)
        outcome: Any = app(args=given, standalone_mode=False, prog_name="forescale")
        return outcome if isinstance(outcome, int) else 0
    except ForescaleError as error:
        print(f"forescale: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("forescale: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader went away (`| head`); point stdout elsewhere so that the interpreter's flush stays silent.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # A file that cannot be read or written, a full disk: the operating system has said why.
        where = f"{error.filename}: " if error.filename else ""
        print(f"forescale: {where}{error.strerror or error}. Try: another path, or its permissions.", file=sys.stderr)
        return 2
    except Exception as error:
        usage = _usage(error)
        if usage is None:
            raise
        print(usage, file=sys.stderr)
        return 2


def _usage(error: Exception) -> str | None:
    """The message of a usage error of the parser (typer ships its own copy of click, so it is told by its shape)."""
    show = getattr(error, "format_message", None)
    if show is None:
        return None
    context = getattr(error, "ctx", None)
    hint = f" See '{context.command_path} --help'." if context is not None else ""
    return f"forescale: {show()}{hint}"


def main() -> None:
    """Console script."""
    sys.exit(run())
