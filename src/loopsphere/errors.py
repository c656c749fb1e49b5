"""Every error that loopsphere raises on purpose, under one root."""

import traceback
from pathlib import PurePath


class LoopsphereError(Exception):
    """Root of all errors raised on purpose; the message says what, where and what to do."""


class AudioError(LoopsphereError):
    """A file cannot be used as a loop; the message is the reason shown next to its path."""


class FeatureError(LoopsphereError):
    """A waveform or log-mel has the wrong shape, length or values."""


class CheckpointError(LoopsphereError):
    """An encoder checkpoint is missing, incomplete, misshapen or paired with the wrong settings."""


class ModelFileError(LoopsphereError):
    """A `.loopsphere` file is damaged, foreign, or was made with another encoder."""


class CalibrationError(LoopsphereError):
    """The calibration scores cannot support what was asked of them."""


class NamedLoopError(LoopsphereError):
    """A loop that was named odd or normal cannot be learnt from."""


class NothingUsableError(LoopsphereError):
    """No loop could be read from the given paths."""


class MissingExtraError(LoopsphereError):
    """An optional package is needed; the message names the command that installs it."""


class LibraryError(LoopsphereError):
    """A library cannot be opened, read or written, or another process holds it for too long."""


class UnknownNameError(LoopsphereError):
    """There is no detector, encoder or preset of that name; the message lists those that exist."""


def surprise(error: Exception) -> str:
    """Return the reason for a file that nobody expected to fail so, with what it takes to find the bug."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f" at {PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    said = str(error).strip().splitlines()
    return ": ".join([f"unexpected {type(error).__name__}{at}", *said[:1]])


def first_line(error: Exception) -> str:
    """Return the first line of what another library says of an error; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
