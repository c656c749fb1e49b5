"""The log-mel settings an encoder was trained with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MelConfig:
    """Everything between a waveform and the encoder's input.

    Attributes
    ----------
    sample_rate : int
        Hz.
    n_fft, hop_length : int
        Samples.
    n_mels : int
        Bands.
    fmin, fmax : float
        Hz, of the lowest and highest band's outer edges.
    filters : {'htk', 'slaney', 'tensorflow'}
        'htk' is the HTK mel scale without normalisation, 'slaney' the Auditory Toolbox scale with
        bands of equal area. CLAP's fused checkpoints were trained on the first, unfused ones on the second.
        'tensorflow' is the HTK scale with triangles that are straight on it, not over Hz.
    n_frames : int
        Rows of the encoder's window.
    short_clip : {'repeat', 'repeatpad'}
        What fills the window behind a clip that is shorter. 'repeat' goes on repeating, as a loop does;
        'repeatpad' repeats whole clips and pads with silence, as CLAP does.
    rms_dbfs : float or None
        Level that each clip is brought to before the analysis, so that gain does not count; None keeps it.
    floor_db : float
        Lowest value of the log-mel. CLAP's -100 shows the noise of a codec or dither; a higher one hides it.
    window_length : int or None
        Samples of the periodic Hann window, behind which zeros fill the frame; None is `n_fft`.
    exponent : {1, 2}
        Whether bands add up magnitudes or power.
    """

    sample_rate: int = 48_000
    n_fft: int = 1024
    hop_length: int = 480
    n_mels: int = 64
    fmin: float = 0.0
    fmax: float = 14_000.0
    filters: Literal["htk", "slaney", "tensorflow"] = "htk"
    n_frames: int = 1001
    short_clip: Literal["repeat", "repeatpad"] = "repeatpad"
    rms_dbfs: float | None = None
    floor_db: float = -100.0
    window_length: int | None = None
    exponent: Literal[1, 2] = 2

    @property
    def window_samples(self) -> int:
        """Samples that fill `n_frames` rows exactly."""
        return (self.n_frames - 1) * self.hop_length

    @property
    def window_s(self) -> float:
        """Seconds that fill `n_frames` rows exactly."""
        return self.window_samples / self.sample_rate


CLAP_FUSED = MelConfig(filters="htk")
CLAP_UNFUSED = MelConfig(filters="slaney")
BUNDLED = MelConfig(
    sample_rate=32_000,
    n_fft=2048,
    hop_length=640,
    n_mels=128,
    fmin=20.0,
    fmax=16_000.0,
    filters="htk",
    n_frames=512,
    short_clip="repeat",
    rms_dbfs=-20.0,
    floor_db=-50.0,
)
