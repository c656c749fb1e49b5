"""The front end: what it refuses, how it fills and what it keeps of a clip."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from loopsphere.errors import FeatureError
from loopsphere.features.config import BUNDLED, CLAP_FUSED, CLAP_UNFUSED
from loopsphere.features.fusion import fuse_mel
from loopsphere.features.listening import YAMNET_MEL, ring_sums
from loopsphere.features.mel import fill_window, log_mel, mel_filters, mel_power
from random_networks import SMALL_MEL

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal(SMALL_MEL.window_samples).astype(np.float32)


@pytest.mark.parametrize("config", [SMALL_MEL, BUNDLED, CLAP_FUSED, CLAP_UNFUSED])
@pytest.mark.parametrize("n_extra", [-1000, 0, 1, 1000])
def test_number_of_frames(config, n_extra: int) -> None:
    n_samples = config.window_samples + n_extra
    expected = config.n_frames + max(0, n_extra) // config.hop_length
    mel = log_mel(np.zeros(n_samples, dtype=np.float32), config)
    assert mel.shape == (expected, config.n_mels)
    assert mel.dtype == np.float32
    np.testing.assert_allclose(mel, config.floor_db, atol=1e-4)


def test_windows_in_seconds() -> None:
    assert CLAP_FUSED.window_s == 10.0
    assert BUNDLED.window_s == pytest.approx(10.22)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.empty(0, np.float32), "not empty"),
        (np.zeros((2, 100), np.float32), r"1-D and not empty; got shape \(2, 100\)"),
        (np.array([0.0, np.nan], np.float32), "NaN or infinite"),
        (np.array([0.0, np.inf], np.float32), "NaN or infinite"),
    ],
)
def test_unusable_waveforms_are_refused(waveform, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        log_mel(waveform, SMALL_MEL)


def test_repeat_goes_on_and_repeatpad_ends_in_silence() -> None:
    clip = NOISE[:7000]
    repeated = fill_window(clip, SMALL_MEL)
    np.testing.assert_array_equal(repeated, np.concatenate([clip, clip, clip[:2000]]))
    padded = fill_window(clip, dataclasses.replace(SMALL_MEL, short_clip="repeatpad"))
    np.testing.assert_array_equal(padded, np.concatenate([clip, clip, np.zeros(2000, np.float32)]))


@pytest.mark.parametrize("n_samples", [160, 1000, 4000, 7001])
def test_repeating_a_loop_is_seamless(n_samples: int) -> None:
    """A loop and its own double fill the window with the same sound, to the bit."""
    loop = NOISE[:n_samples]
    doubled = np.concatenate([loop, loop])
    np.testing.assert_array_equal(log_mel(loop, SMALL_MEL), log_mel(doubled, SMALL_MEL))


def test_a_periodic_loop_has_periodic_frames_across_its_seams() -> None:
    n_samples = 40 * SMALL_MEL.hop_length
    mel = log_mel(NOISE[:n_samples], SMALL_MEL)
    inner = mel[2:-2]  # the frames at either end see the reflection
    np.testing.assert_allclose(inner[40:80], inner[:40], atol=1e-3)


@pytest.mark.parametrize("gain_db", [-40.0, -6.0, 6.0, 20.0])
def test_gain_does_not_count_where_the_level_is_set(gain_db: float) -> None:
    loop = RNG.standard_normal(20_000).astype(np.float32) * np.float32(0.1)
    louder = loop * np.float32(10 ** (gain_db / 20))
    np.testing.assert_allclose(log_mel(louder, BUNDLED), log_mel(loop, BUNDLED), atol=1e-3)
    assert np.abs(log_mel(louder, SMALL_MEL) - log_mel(loop, SMALL_MEL)).max() > 5


def test_padding_does_not_make_a_clip_louder() -> None:
    padded = dataclasses.replace(SMALL_MEL, short_clip="repeatpad", rms_dbfs=-20.0)
    repeated = dataclasses.replace(padded, short_clip="repeat")
    loop = NOISE[:9000]  # once, then 7,000 samples of silence; or once and most of it again
    frames = slice(5, 100)
    np.testing.assert_allclose(log_mel(loop, padded)[frames], log_mel(loop, repeated)[frames], atol=1e-4)


def test_a_long_clip_is_analysed_in_blocks_without_a_seam() -> None:
    clip = RNG.standard_normal(SMALL_MEL.hop_length * 1000).astype(np.float32)
    whole = log_mel(clip, SMALL_MEL)
    start, stop = 150 * SMALL_MEL.hop_length, 450 * SMALL_MEL.hop_length
    np.testing.assert_allclose(log_mel(clip[start:stop], SMALL_MEL)[5:-5], whole[155:446], atol=1e-3)


@pytest.mark.parametrize("config", [SMALL_MEL, BUNDLED, CLAP_FUSED, CLAP_UNFUSED])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_power_is_that_of_the_spectrum_through_every_filter(config, dtype) -> None:
    """By definition, with whole filters; the code takes each band's own bins."""
    clip = RNG.standard_normal(20 * config.n_fft).astype(np.float32)
    clip *= np.linspace(1, 1e-3, clip.size, dtype=np.float32)
    starts = range(0, clip.size - config.n_fft + 1, config.hop_length)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.n_fft) / config.n_fft)
    spectra = np.fft.rfft(np.stack([clip[start : start + config.n_fft] for start in starts]) * window)
    expected = np.abs(spectra) ** 2 @ mel_filters(config).astype(np.float64)
    np.testing.assert_allclose(mel_power(clip, config, dtype=dtype), expected, rtol=2e-5)


def test_filters_are_shared_and_read_only() -> None:
    filters = mel_filters(SMALL_MEL)
    assert mel_filters(SMALL_MEL) is filters
    with pytest.raises(ValueError, match="read-only"):
        filters[0, 0] = 1.0


def test_fixed_crops_are_front_centre_and_back() -> None:
    mel = np.arange(30, dtype=np.float32)[:, None].repeat(2, axis=1)
    views = fuse_mel(mel, n_frames=10)
    assert views.shape == (4, 10, 2)
    np.testing.assert_array_equal(views[1:, 0, 0], [0, 10, 20])
    np.testing.assert_allclose(views[0, :, 0], np.arange(1, 31, 3))  # centres of three rows each


def test_a_clip_within_the_window_has_one_view() -> None:
    mel = np.zeros((10, 2), np.float32)
    assert fuse_mel(mel, n_frames=10).shape == (1, 10, 2)


def test_random_crops_stay_in_their_thirds_and_vary() -> None:
    mel = np.arange(100, dtype=np.float32)[:, None]
    starts = np.array(
        [fuse_mel(mel, n_frames=10, rng=np.random.default_rng(seed))[1:, 0, 0] for seed in range(50)]
    )
    thirds = [(0, 30), (31, 60), (61, 90)]
    for column, (low, high) in zip(starts.T, thirds, strict=True):
        assert low <= column.min() < column.max() <= high


@pytest.mark.parametrize(
    ("mel", "message"),
    [
        (np.zeros(20, np.float32), "must be 2-D"),
        (np.zeros((9, 4), np.float32), "at least 10 rows; got 9"),
        (np.full((10, 4), np.nan, np.float32), "NaN or infinite"),
    ],
)
def test_unusable_log_mels_are_refused(mel, message: str) -> None:
    with pytest.raises(FeatureError, match=message):
        fuse_mel(mel, n_frames=10)


@pytest.mark.parametrize("n_beyond", [-1, 0, 1, 600, 700])
def test_a_long_clip_is_framed_in_pieces_to_the_same_bits(monkeypatch, n_beyond):
    config = YAMNET_MEL
    clip = np.random.default_rng(0).normal(size=3 * 64 * config.hop_length + n_beyond).astype(np.float32)
    whole = log_mel(clip, config), ring_sums(clip, config)
    monkeypatch.setattr("loopsphere.features.mel._FRAMES_PER_PIECE", 64)
    pieces = log_mel(clip, config), ring_sums(clip, config)
    for expected, found in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(found, expected)
