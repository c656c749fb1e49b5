"""The command line; depends on the library, never the reverse."""

import atexit
import gc
import sys


def main() -> None:
    """Run the `loopsphere` command."""
    # Importing torch and scikit-learn makes hundreds of thousands of objects that stay; to look for garbage
    # after every 700 delays the first result.
    gc.set_threshold(50_000, 20, 100)
    # Nor need they be looked through when the process ends.
    atexit.register(gc.freeze)
    from loopsphere.cli import decoder_messages
    from loopsphere.cli.commands import app

    # A path may hold characters that the terminal's encoding lacks; showing them escaped beats a crash.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with decoder_messages.left_out():
        app()
