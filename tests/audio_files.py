"""Audio files for tests: one signal in every encoding, and what a refusal says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from loopsphere.audio import load_clip
from loopsphere.errors import AudioError

SR = 44_100
SOUNDFILE_ENCODINGS = {
    # name: (extension, format, subtype, rate, greatest error or None for lossy)
    "wav-u8": ("wav", "WAV", "PCM_U8", SR, 2**-7),
    "wav-16": ("wav", "WAV", "PCM_16", SR, 2**-15),
    "wav-24": ("wav", "WAV", "PCM_24", SR, 2**-23),
    "wav-32": ("wav", "WAV", "PCM_32", SR, 2**-23),
    "wav-float": ("wav", "WAV", "FLOAT", SR, 2**-23),
    "wav-double": ("wav", "WAV", "DOUBLE", SR, 2**-23),
    "wavex-16": ("wav", "WAVEX", "PCM_16", SR, 2**-15),
    "wavex-float": ("wav", "WAVEX", "FLOAT", SR, 2**-23),
    "rf64-24": ("rf64", "RF64", "PCM_24", SR, 2**-23),
    "w64-16": ("w64", "W64", "PCM_16", SR, 2**-15),
    "aiff-16": ("aiff", "AIFF", "PCM_16", SR, 2**-15),
    "aiff-24": ("aif", "AIFF", "PCM_24", SR, 2**-23),
    "aifc-float": ("aifc", "AIFF", "FLOAT", SR, 2**-23),
    "caf-16": ("caf", "CAF", "PCM_16", SR, 2**-15),
    "caf-alac": ("caf", "CAF", "ALAC_16", SR, 2**-15),
    "au-16": ("au", "AU", "PCM_16", SR, 2**-15),
    "flac-16": ("flac", "FLAC", "PCM_16", SR, 2**-15),
    "flac-24": ("flac", "FLAC", "PCM_24", SR, 2**-23),
    "ogg-vorbis": ("ogg", "OGG", "VORBIS", SR, None),
    "ogg-opus": ("opus", "OGG", "OPUS", 48_000, None),
    "mp3": ("mp3", "MP3", "MPEG_LAYER_III", SR, None),
    "mp3-mpeg2": ("mp3", "MP3", "MPEG_LAYER_III", 22_050, None),
}
PYAV_ENCODINGS = {
    # name: (extension, codec, muxer options)
    "m4a": ("m4a", "aac", {}),
    "m4a-faststart": ("m4a", "aac", {"movflags": "faststart"}),
    "m4a-fragmented": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "m4a-alac": ("m4a", "alac", {}),
    "aac": ("aac", "aac", {}),
    "wma": ("wma", "wmav2", {}),
}
ENCODINGS = [*SOUNDFILE_ENCODINGS, *PYAV_ENCODINGS]


def melody(seconds: float, seed: int = 0, rate: int = 32_000) -> np.ndarray:
    """Plucked tones, a new one every quarter of a second."""
    rng, time = np.random.default_rng(seed), np.arange(rate // 4) / rate
    notes = [
        np.sin(2 * np.pi * hz * time) * np.exp(-8 * time)
        for hz in rng.choice([220, 247, 262, 294, 330, 392], size=round(4 * seconds))
    ]
    return np.concatenate(notes).astype(np.float32)


def tones(rate: int = SR, duration_s: float = 1.0, seed: int = 7) -> np.ndarray:
    """Return stereo float32 of shape (n_samples, 2): harmonics with a slow swell, which codecs keep."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(rate * duration_s)) / rate
    channels = []
    for root_hz in (110.0, 165.0):
        partials = sum(
            rng.uniform(0.05, 0.2) * np.sin(2 * np.pi * root_hz * k * time_s + rng.uniform(0, 6))
            for k in range(1, 6)
        )
        channels.append(partials * (0.7 + 0.3 * np.sin(2 * np.pi * 2 * time_s)))
    return np.stack(channels, axis=1).astype(np.float32)


def write_pyav(path: Path, signal: np.ndarray, codec: str, options: dict[str, str], rate: int = SR) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.layout = "stereo"
        stream.bit_rate = 192_000
        planar_16 = codec == "alac"
        samples = np.ascontiguousarray(signal.T)
        if planar_16:
            samples = np.round(samples * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16p" if planar_16 else "fltp", layout="stereo")
        frame.sample_rate, frame.pts = rate, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def write_encoded(
    folder: Path, name: str, signal_s: float = 1.0
) -> tuple[Path, np.ndarray, int, float | None]:
    """Write one encoding and return its path, the signal, its rate and the greatest error allowed."""
    if name in PYAV_ENCODINGS:
        extension, codec, options = PYAV_ENCODINGS[name]
        path = folder / f"{name}.{extension}"
        signal = tones(SR, signal_s)
        write_pyav(path, signal, codec, options)
        return path, signal, SR, 2**-14 if codec == "alac" else None
    extension, container, subtype, rate, tolerance = SOUNDFILE_ENCODINGS[name]
    path = folder / f"{name}.{extension}"
    signal = tones(rate, signal_s)
    sf.write(path, signal, rate, format=container, subtype=subtype)
    return path, signal, rate, tolerance


def write_every_format(folder: Path) -> list[Path]:
    """Write one loop in every format and subtype, at the first rate that each can have."""
    written = []
    for container in sf.available_formats():
        for subtype in sf.available_subtypes(container):
            for rate in (SR, 48_000, 16_000, 8_000):
                path = folder / f"{container} {subtype}.{container.lower()}"
                try:
                    sf.write(path, tones(rate, 0.5)[:, 0], rate, format=container, subtype=subtype)
                except (sf.LibsndfileError, ValueError, TypeError):
                    path.unlink(missing_ok=True)  # it cannot write this one
                else:
                    written.append(path)
                    break
    return written


def write_wav(path: Path, signal: np.ndarray, rate: int = SR, subtype: str = "PCM_16") -> Path:
    sf.write(path, signal, rate, format="WAV", subtype=subtype)
    return path


def write_variable_mp3(folder: Path, signal: np.ndarray) -> tuple[Path, bytes, int]:
    """Write an MP3 of variable bitrate; return its path, its bytes and where its second frame begins."""
    path = folder / "a.mp3"
    sf.write(path, signal, SR, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)
    data = path.read_bytes()
    assert data[36:40] == b"Xing"
    return path, data, data.index(data[:2], 100)


def refused(path: Path | str, match: str) -> None:
    with pytest.raises(AudioError, match=match):
        load_clip(path, SR)
