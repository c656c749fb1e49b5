"""From a path to mono float32 at the rate asked for; everything that can be wrong with a file ends here."""

from loopsphere.audio.finding import AUDIO_EXTENSIONS, find_loops, holds_loops
from loopsphere.audio.limits import (
    MAX_CHANNELS,
    MAX_DURATION_S,
    MAX_SAMPLE_RATE_HZ,
    MIN_DURATION_S,
    MIN_SAMPLE_RATE_HZ,
    SILENCE_DBFS,
)
from loopsphere.audio.loading import load_clip, load_recording, recording_again, waveform_again

__all__ = [
    "AUDIO_EXTENSIONS",
    "MAX_CHANNELS",
    "MAX_DURATION_S",
    "MAX_SAMPLE_RATE_HZ",
    "MIN_DURATION_S",
    "MIN_SAMPLE_RATE_HZ",
    "SILENCE_DBFS",
    "find_loops",
    "holds_loops",
    "load_clip",
    "load_recording",
    "recording_again",
    "waveform_again",
]
