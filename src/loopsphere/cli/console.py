"""What the commands say and where: answers, progress and errors."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import typer

from loopsphere.errors import CalibrationError, LoopsphereError, NothingUsableError

if TYPE_CHECKING:
    from types import FrameType

    from rich.console import Console
    from rich.text import Text

    from loopsphere.progress import Progress

P = ParamSpec("P")
R = TypeVar("R")

EXIT_NOTHING_USABLE = 1
EXIT_WRONG_USE = 2
EXIT_INTERRUPTED = 130  # what shells report for SIGINT
_PIPED_WIDTH = 200  # columns; a pipe has no width, and paths should not be cut


def is_stdout(path: Path | None) -> bool:
    """Tell whether `--json -` was given."""
    return path is not None and str(path) == "-"


def console(*, stderr: bool = False) -> Console:
    """Return a console that is coloured and fitted to a terminal, and plain and wide in a pipe."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() else _PIPED_WIDTH)


def printable(text: str) -> str:
    """Return text, as of a file's name, with those characters escaped that a terminal would obey."""
    from loopsphere.files import CONTROL

    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def plain(text: str) -> Text:
    """Return text to print as it is: no markup is read in it, and no control character gets through."""
    from rich.text import Text

    return Text(printable(text))


def emit_json(path: Path | None, record: Mapping[str, Any]) -> None:
    """Write a record where `--json` asks for it."""
    from loopsphere.export.tables import json_text, write_json

    if path is None:
        return
    if is_stdout(path):
        sys.stdout.flush()
        sys.stdout.buffer.write(json_text(record).encode())
        sys.stdout.buffer.flush()
    else:
        write_json(path, record)


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show each stage's progress on a terminal's standard error; say nothing in a pipe."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(
        *columns, console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        stages: dict[str, Any] = {}

        def report(what: str, n_done: int, n_total: int) -> None:
            if _interrupts.is_set():
                _interrupts.clear()
                raise KeyboardInterrupt
            if what not in stages:
                stages[what] = bar.add_task(what, total=n_total)
            bar.update(stages[what], completed=n_done, total=n_total)

        yield report


def exit_if_skipped(strict: bool, n_skipped: int) -> None:
    """End with the status of nothing usable where `--strict` was given and a file was skipped."""
    if strict and n_skipped:
        raise typer.Exit(EXIT_NOTHING_USABLE)


_interrupts = threading.Event()


@contextmanager
def _remembered_interrupts() -> Iterator[None]:
    """Remember Ctrl-C for the next report of progress.

    Python raises it wherever the main thread happens to be. In a destructor, or in a callback from C or of
    the import system, it is dropped, and the work would go on.
    """

    def remember(number: int, frame: FrameType | None) -> None:
        _interrupts.set()
        signal.default_int_handler(number, frame)

    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    _interrupts.clear()
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def reports_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn errors that a user can mend into one line on standard error and an exit status."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with _remembered_interrupts():
                return command(*args, **kwargs)
        except (NothingUsableError, CalibrationError) as error:
            raise _exit(str(error), EXIT_NOTHING_USABLE) from error
        except LoopsphereError as error:
            raise _exit(str(error), EXIT_WRONG_USE) from error
        except BrokenPipeError as error:
            # The reader left, as `head` does; nothing that is written now can arrive.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from error
        except OSError as error:
            raise _exit(told(error), EXIT_NOTHING_USABLE) from error
        except KeyboardInterrupt as error:
            raise _exit("interrupted; no half-written file is left", EXIT_INTERRUPTED) from error

    return wrapped


def told(error: OSError) -> str:
    """Return what the system could not do, and with what."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def complain(message: str) -> None:
    """Say on standard error what went wrong."""
    typer.echo(f"loopsphere: {printable(message)}", err=True)


def _exit(message: str, status: int) -> typer.Exit:
    complain(message)
    return typer.Exit(status)
