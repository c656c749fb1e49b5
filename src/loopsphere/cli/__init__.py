"""The command line; depends on the library, never the reverse."""

import sys


def main() -> None:
    """Run the `loopsphere` command."""
    from loopsphere.cli.commands import app

    # A path may hold characters that the terminal's encoding lacks; showing them escaped beats a crash.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app()
