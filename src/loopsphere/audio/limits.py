"""What is still a loop: bounds on duration, level, rate and channels, and the refusals that state them."""

from __future__ import annotations

from loopsphere.errors import AudioError

MIN_DURATION_S = 0.05
MAX_DURATION_S = 600.0
MIN_SAMPLE_RATE_HZ = 4_000
MAX_SAMPLE_RATE_HZ = 384_000
MAX_CHANNELS = 32

LONGEST_RECORDING = 28_800_000
"""Samples of a channel: ten minutes at 48 kHz. What has more is measured at 48 kHz, not at its own rate."""
LOWERED_RATE_HZ = 48_000

SILENCE_DBFS = -90.0
"""A peak below this, of the mono mix, is silence: one step of 16-bit audio peaks at -90.3 dBFS."""

MAX_PEAK = 2.0**32
"""Float files may exceed full scale (1.0), and some hold integers up to 2**31; more is damage."""


def check_format(sample_rate: int, n_channels: int) -> None:
    """Refuse a sample rate or channel count that no recording has.

    Parameters
    ----------
    sample_rate : int
        Hz, as stored in the file.
    n_channels : int
        As stored in the file.

    Raises
    ------
    AudioError
        Either lies outside the limits of this module.
    """
    if not MIN_SAMPLE_RATE_HZ <= sample_rate <= MAX_SAMPLE_RATE_HZ:
        raise AudioError(
            f"absurd sample rate ({sample_rate:,} Hz; "
            f"{MIN_SAMPLE_RATE_HZ:,} to {MAX_SAMPLE_RATE_HZ:,} Hz are accepted)"
        )
    if not 1 <= n_channels <= MAX_CHANNELS:
        raise AudioError(f"absurd channel count ({n_channels:,}; 1 to {MAX_CHANNELS} are accepted)")


def check_not_too_long(duration_s: float) -> None:
    """Refuse a duration above `MAX_DURATION_S`.

    Parameters
    ----------
    duration_s : float
        Seconds, promised by a header or counted.

    Raises
    ------
    AudioError
        It is too long.
    """
    if duration_s > MAX_DURATION_S:
        raise AudioError(f"longer than {MAX_DURATION_S / 60:.0f} minutes ({duration_s / 60:,.1f} minutes)")
