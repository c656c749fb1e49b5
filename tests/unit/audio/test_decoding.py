"""Decoding, resampling and the hash of what was decoded."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import resample_poly

from audio_files import ENCODINGS, SR, tones, write_encoded, write_wav
from loopsphere.audio import load_clip


def snr_db(expected: np.ndarray, decoded: np.ndarray, lag: int) -> float:
    """Return the signal-to-noise ratio at `decoded` being `lag` samples late, without the edges."""
    edge = 4_096
    middle = expected[edge:-edge].astype(np.float64)
    error = decoded[edge + lag : edge + lag + len(middle)] - middle[: len(decoded) - edge - lag]
    return float(10 * np.log10(np.mean(middle**2) / np.mean(error**2)))


class TestDecoding:
    @pytest.mark.parametrize("name", ENCODINGS)
    def test_gives_back_the_signal(self, tmp_path, capfd, name):
        path, signal, rate, tolerance = write_encoded(tmp_path, name)
        clip = load_clip(path, rate)
        mono = signal.mean(axis=1)
        assert clip.waveform.dtype == np.float32
        assert clip.waveform.ndim == 1
        assert (clip.file_sample_rate, clip.sample_rate, clip.n_channels) == (rate, rate, 2)
        assert clip.path == str(path)
        assert clip.duration_s == pytest.approx(1.0, abs=0.06)
        assert clip.duration_s == len(clip.waveform) / rate
        if tolerance is None:
            # ADTS and fragmented MP4 cannot state the encoder's delay of one frame; FFmpeg's WMA decoder
            # drops two frames as delay where FFmpeg's own encoder made one.
            lag = {"aac": 1_024, "m4a-fragmented": 1_024, "wma": -2_048}.get(name, 0)
            assert snr_db(mono, clip.waveform, lag) > 20
        else:
            assert len(clip.waveform) >= len(mono)
            np.testing.assert_allclose(clip.waveform[: len(mono)], mono, rtol=0, atol=tolerance)
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("name", ENCODINGS)
    def test_is_the_same_where_descriptors_cannot_be_shared(self, tmp_path, monkeypatch, name):
        path, _, rate, _ = write_encoded(tmp_path, name)
        through_the_descriptor = load_clip(path, rate)
        monkeypatch.setattr("loopsphere.audio.decoding._Source.for_libsndfile", lambda source: source)
        np.testing.assert_array_equal(load_clip(path, rate).waveform, through_the_descriptor.waveform)

    @pytest.mark.parametrize("extension", ["", ".raw", ".txt", ".mp3", ".vox", ".au"])
    def test_content_decides_and_not_the_name(self, tmp_path, extension):
        signal = tones()
        named = tmp_path / f"loop{extension}"
        named.write_bytes(write_wav(tmp_path / "loop.wav", signal).read_bytes())
        np.testing.assert_allclose(load_clip(named, SR).waveform, signal.mean(axis=1), atol=2**-15)

    @pytest.mark.parametrize(
        "name", ["Bässe für März.wav", "🎸 loop 🥁.wav", "with  two spaces .wav", "50%#1?.wav"]
    )
    def test_any_name_opens(self, tmp_path, name):
        path = write_wav(tmp_path / name, tones())
        assert len(load_clip(str(path), SR).waveform) == SR

    def test_a_relative_path_stays_as_written(self, tmp_path, monkeypatch):
        write_wav(tmp_path / "a.wav", tones())
        monkeypatch.chdir(tmp_path)
        assert load_clip("a.wav", SR).path == "a.wav"

    @pytest.mark.parametrize("n_channels", [1, 2, 4, 8])
    def test_equal_channels_give_the_mono_file(self, tmp_path, n_channels):
        mono = tones()[:, 0]
        expected = load_clip(write_wav(tmp_path / "mono.wav", mono, subtype="FLOAT"), 32_000).waveform
        copies = write_wav(tmp_path / "copies.wav", np.tile(mono[:, None], n_channels), subtype="FLOAT")
        np.testing.assert_array_equal(load_clip(copies, 32_000).waveform, expected)

    def test_mono_is_the_mean_of_unequal_channels(self, tmp_path):
        signal = np.random.default_rng(0).uniform(-1, 1, (SR, 5)).astype(np.float32)
        path = write_wav(tmp_path / "five.wav", signal, subtype="FLOAT")
        np.testing.assert_allclose(load_clip(path, SR).waveform, signal.mean(axis=1), atol=1e-6)

    def test_blocks_join_without_a_seam(self, tmp_path):
        signal = tones(duration_s=5.0)  # more than three blocks of 65,536 frames
        path = tmp_path / "long.flac"
        sf.write(path, signal, SR, subtype="PCM_24")
        np.testing.assert_allclose(load_clip(path, SR).waveform, signal.mean(axis=1), atol=2**-23)

    def test_loud_float_samples_are_not_clipped(self, tmp_path):
        path = write_wav(tmp_path / "loud.wav", 20 * tones(), subtype="FLOAT")
        np.testing.assert_allclose(
            load_clip(path, SR).waveform, 20 * tones().mean(axis=1), rtol=1e-5, atol=1e-6
        )


class TestResampling:
    @pytest.mark.parametrize(("rate_in", "rate_out"), [(44_100, 32_000), (48_000, 32_000), (22_050, 48_000)])
    def test_agrees_with_scipy(self, tmp_path, rate_in, rate_out):
        signal = tones(rate_in)[:, 0]
        ratio = Fraction(rate_out, rate_in)
        expected = resample_poly(
            signal.astype(np.float64), ratio.numerator, ratio.denominator, window=("kaiser", 12.0)
        )
        path = write_wav(tmp_path / "a.wav", signal, rate_in, "FLOAT")
        waveform = load_clip(path, rate_out).waveform
        assert len(waveform) == len(expected)
        edge = rate_out // 50
        np.testing.assert_allclose(waveform[edge:-edge], expected[edge:-edge], atol=2e-4)

    @pytest.mark.parametrize("rate_out", [8_000, 16_000, 32_000, 48_000, 96_000])
    def test_a_sine_stays_that_sine(self, tmp_path, rate_out):
        time_s = np.arange(SR) / SR
        path = write_wav(tmp_path / "sine.wav", 0.5 * np.sin(2 * np.pi * 440 * time_s), subtype="FLOAT")
        waveform = load_clip(path, rate_out).waveform
        expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(waveform)) / rate_out)
        edge = rate_out // 50
        np.testing.assert_allclose(waveform[edge:-edge], expected[edge:-edge], atol=1e-5)

    def test_what_the_new_rate_cannot_hold_is_gone(self, tmp_path):
        time_s = np.arange(SR) / SR
        path = write_wav(tmp_path / "high.wav", 0.5 * np.sin(2 * np.pi * 15_000 * time_s), subtype="FLOAT")
        assert np.abs(load_clip(path, 16_000).waveform[500:-500]).max() < 1e-4


class TestHash:
    def test_is_sha256_of_rate_channels_and_samples(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", tones())
        samples, _ = sf.read(path, dtype="float32")
        expected = hashlib.sha256(b"44100 2 " + samples.astype("<f4").tobytes()).hexdigest()
        assert load_clip(path, 32_000).audio_hash == expected

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF", "CAF", "FLAC", "AU"])
    def test_depends_on_samples_and_not_on_the_container(self, tmp_path, container):
        signal = np.round(tones() * 32767).astype(np.int16)
        reference = load_clip(write_wav(tmp_path / "a.wav", signal), SR).audio_hash
        other = tmp_path / "other"
        sf.write(other, signal, SR, format=container, subtype="PCM_16")
        assert load_clip(other, 16_000).audio_hash == reference

    @pytest.mark.parametrize("extension", ["wav", "flac", "aiff", "ogg"])
    def test_tags_do_not_count(self, tmp_path, extension):
        plain, tagged = tmp_path / f"plain.{extension}", tmp_path / f"tagged.{extension}"
        for path in (plain, tagged):
            with sf.SoundFile(path, "w", SR, 2) as file:
                if path is tagged:
                    file.title, file.artist, file.comment = "Ein Stück", "Somebody", "x" * 5_000
                file.write(tones())
        assert plain.read_bytes() != tagged.read_bytes()
        assert load_clip(plain, SR).audio_hash == load_clip(tagged, SR).audio_hash

    @pytest.mark.parametrize("tag", ["id3v2", "id3v1", "ape"])
    @pytest.mark.parametrize("name", ["mp3", "flac-16"])
    def test_foreign_tags_do_not_count(self, tmp_path, capfd, name, tag):
        path, *_ = write_encoded(tmp_path, name)
        reference = load_clip(path, SR).audio_hash
        audio = path.read_bytes()
        art = np.random.default_rng(1).bytes(3_000).replace(b"\xff", b"\x00")
        tagged = {
            "id3v2": b"ID3\x04\x00\x00\x00\x00\x17\x38" + art + audio,  # 0x17 << 7 | 0x38 = 3,000 bytes
            "id3v1": audio + b"TAG" + bytes(125),
            "ape": audio + b"APETAGEX" + art,
        }[tag]
        path.write_bytes(tagged)
        assert load_clip(path, SR).audio_hash == reference
        assert capfd.readouterr() == ("", "")

    def test_differs_with_one_sample_one_rate_or_one_channel(self, tmp_path):
        signal = tones()
        changed = signal.copy()
        changed[SR // 2, 1] += 0.01
        paths = [
            write_wav(tmp_path / "a.wav", signal),
            write_wav(tmp_path / "b.wav", changed),
            write_wav(tmp_path / "c.wav", signal, 48_000),
            write_wav(tmp_path / "d.wav", signal.reshape(-1)),
        ]
        assert len({load_clip(path, SR).audio_hash for path in paths}) == 4
