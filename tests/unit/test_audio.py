"""Decoding against the signal that was encoded, every reason for refusal, and the search for loops."""

from __future__ import annotations

import errno
import hashlib
import inspect
import io
import os
import struct
import sys
import tempfile
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import resample_poly

from loopsphere.audio import find_loops, load_clip
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


def write_wav(path: Path, signal: np.ndarray, rate: int = SR, subtype: str = "PCM_16") -> Path:
    sf.write(path, signal, rate, format="WAV", subtype=subtype)
    return path


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


def refused(path: Path | str, match: str) -> None:
    with pytest.raises(AudioError, match=match):
        load_clip(path, SR)


class TestTruncation:
    @pytest.mark.parametrize("kept", [0.02, 0.3, 0.5, 0.9, 0.99, 1])
    @pytest.mark.parametrize("name", ENCODINGS)
    def test_a_cut_file_is_refused(self, tmp_path, capfd, name, kept):
        path, *_ = write_encoded(tmp_path, name)
        whole = path.read_bytes()
        # Two bytes, for the very last one may be padding
        path.write_bytes(whole[:-2] if kept == 1 else whole[: int(len(whole) * kept)])
        refused(path, "^truncated")
        assert capfd.readouterr() == ("", "")

    def test_reason_counts_what_is_missing(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", tones())
        path.write_bytes(path.read_bytes()[:-1000])
        refused(path, r"^truncated \(1,000 of 176,400 bytes are missing\)$")

    @pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFFFFF, 0x7FFFF000, 0x80000000])
    def test_a_wav_written_to_a_pipe_is_whole(self, tmp_path, capfd, size):
        path = write_wav(tmp_path / "piped.wav", tones())
        whole = load_clip(path, SR)
        data = bytearray(path.read_bytes())
        assert data[36:40] == b"data"
        data[40:44] = data[4:8] = struct.pack("<I", size)
        path.write_bytes(data)
        piped = load_clip(path, SR)
        assert piped.audio_hash == whole.audio_hash
        assert capfd.readouterr() == ("", "")

    def test_a_wav_that_python_wrote_to_a_pipe_is_whole(self, tmp_path):
        class Pipe(io.BytesIO):
            def seekable(self) -> bool:
                return False

            def tell(self) -> int:
                raise OSError(errno.ESPIPE, "a pipe")

            def seek(self, *_: int) -> int:
                raise OSError(errno.ESPIPE, "a pipe")

        pipe = Pipe()
        samples = np.round(tones()[:, 0] * 32767).astype("<i2")
        writer = wave.open(pipe, "wb")  # noqa: SIM115 (closing it seeks, which a pipe refuses)
        writer.setparams((1, 2, SR, 0, "NONE", ""))
        writer.writeframesraw(samples.tobytes())
        path = tmp_path / "piped.wav"
        path.write_bytes(pipe.getvalue())
        np.testing.assert_allclose(load_clip(path, SR).waveform, samples / 32768, atol=1e-7)

    def test_a_wav_with_an_empty_chunk_and_others_after_it_has_no_samples(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", np.zeros(0))
        data = path.read_bytes() + b"LIST" + struct.pack("<I", 4) + b"INFO"
        path.write_bytes(data[:4] + struct.pack("<I", len(data) - 8) + data[8:])
        refused(path, "^no samples$")

    def test_chunks_cut_after_the_samples_do_not_matter(self, tmp_path):
        path = write_wav(tmp_path / "a.wav", tones())
        path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 4_000) + b"INFO")
        assert load_clip(path, SR).duration_s == 1.0

    @pytest.mark.parametrize(("total", "match"), [(0, None), (2 * SR, "^truncated"), (SR // 2, None)])
    def test_flac_is_believed_as_far_as_it_decodes(self, tmp_path, total, match):
        path = tmp_path / "a.flac"
        sf.write(path, tones(), SR, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        fields = int.from_bytes(data[18:26], "big")
        data[18:26] = (fields >> 36 << 36 | total).to_bytes(8, "big")
        path.write_bytes(data)
        if match:
            refused(path, match)
        else:
            assert len(load_clip(path, SR).waveform) == (total or SR)

    @pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
    def test_flac_damaged_in_the_middle_is_refused(self, tmp_path, at):
        path = tmp_path / "a.flac"
        sf.write(path, tones(), SR, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        data[int(len(data) * at)] ^= 0x55
        path.write_bytes(data)
        refused(path, "^truncated or damaged")


class TestMp3:
    """libsndfile alone drops the end of a variable-bitrate file without a Xing header."""

    @staticmethod
    def encoded(tmp_path: Path, signal: np.ndarray) -> tuple[Path, bytes, int]:
        path = tmp_path / "a.mp3"
        sf.write(path, signal, SR, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2)
        data = path.read_bytes()
        n_header_bytes = data.index(data[:2], 100)
        assert data[36:40] == b"Xing"
        return path, data, n_header_bytes

    def swelling(self) -> np.ndarray:
        rng = np.random.default_rng(3)
        return (
            tones(duration_s=2.0)
            + 0.2 * np.linspace(1, 0, 2 * SR)[:, None] ** 4 * rng.normal(size=(2 * SR, 2))
        ).astype(np.float32)

    def test_without_a_header_frame_nothing_is_dropped(self, tmp_path, capfd):
        av = pytest.importorskip("av")
        path, data, n_header_bytes = self.encoded(tmp_path, self.swelling())
        path.write_bytes(data[n_header_bytes:])
        with av.open(str(path)) as container:
            peer_samples = sum(frame.samples for frame in container.decode(audio=0))
        n_samples = len(load_clip(path, SR).waveform)
        assert sf.info(path).frames < peer_samples - 5 * 1152  # what this guards against
        assert abs(n_samples - peer_samples) <= 1152
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("off_by", [-20, -1, 1])
    def test_a_header_frame_that_counts_wrong_drops_nothing(self, tmp_path, off_by):
        path, data, _ = self.encoded(tmp_path, tones())
        whole = load_clip(path, SR)
        n_frames = int.from_bytes(data[44:48], "big")
        path.write_bytes(data[:44] + (n_frames + off_by).to_bytes(4, "big") + data[48:])
        assert load_clip(path, SR).audio_hash == whole.audio_hash

    def test_frames_missing_at_a_frame_boundary_are_counted(self, tmp_path):
        path, data, _ = self.encoded(tmp_path, tones())
        sync = data[:2]
        last = data.rindex(sync)
        path.write_bytes(data[:last])
        refused(path, r"^truncated \(\d+ of \d+ MP3 frames are missing\)$")

    @pytest.mark.parametrize("junk", [bytes(700), b"garbage!" * 50])
    def test_junk_between_frames_is_damage_and_in_front_is_not(self, tmp_path, capfd, junk):
        path, data, _ = self.encoded(tmp_path, tones())
        whole = load_clip(path, SR)
        path.write_bytes(junk + data)
        assert load_clip(path, SR).audio_hash == whole.audio_hash
        middle = data.index(data[:2], len(data) // 2)
        path.write_bytes(data[:middle] + junk + data[middle:])
        refused(path, "^damaged")
        assert capfd.readouterr() == ("", "")

    def test_a_vbri_header_frame_is_not_played(self, tmp_path):
        path, data, n_header_bytes = self.encoded(tmp_path, tones())
        n_frames, n_bytes = data[44:48], data[48:52]
        vbri = bytearray(n_header_bytes)
        vbri[:4] = data[:4]
        vbri[36:54] = b"VBRI" + bytes(6) + n_bytes + n_frames
        path.write_bytes(data[n_header_bytes:])
        bare = load_clip(path, SR)
        path.write_bytes(bytes(vbri) + data[n_header_bytes:])
        assert load_clip(path, SR).audio_hash == bare.audio_hash


class TestRefusals:
    def test_missing(self, tmp_path):
        refused(tmp_path / "none.wav", "^no such file$")
        refused(str(tmp_path / "nul\0.wav"), "^no such file")
        refused(tmp_path / ("x" * 5_000), r"^cannot be opened \(File name too long\)$")

    def test_broken_symlink(self, tmp_path):
        (tmp_path / "link.wav").symlink_to(tmp_path / "gone.wav")
        refused(tmp_path / "link.wav", "^a broken symlink$")

    def test_folder(self, tmp_path):
        refused(tmp_path, "^is a folder$")

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_pipe(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.wav")
        refused(tmp_path / "pipe.wav", "^not a regular file")

    def test_empty(self, tmp_path):
        (tmp_path / "a.wav").touch()
        refused(tmp_path / "a.wav", r"^empty file \(0 bytes\)$")

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no permission bits")
    def test_no_permission(self):
        # Root reads everything, so step down to an ordinary user for the call; outside of tmp_path, which is
        # closed to others.
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            path = write_wav(Path(folder) / "a.wav", tones())
            path.chmod(0)
            user = os.geteuid()
            if user == 0:
                os.seteuid(65_534)
            try:
                refused(path, "^no permission to read it$")
            finally:
                if user == 0:
                    os.seteuid(0)

    @pytest.mark.parametrize(
        "content",
        [
            b"#!/bin/sh\necho this is no loop\n" * 50,
            b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20,
            b"PK\x03\x04" + bytes(4_000),
            bytes(10_000),
            b"\xff",
            b"\xff\xff\xff\xff" * 400,
        ],
        ids=["text", "png", "zip", "zeros", "one-byte", "ones"],
    )
    @pytest.mark.parametrize("extension", ["wav", "mp3", "flac", "au", "m4a", "raw"])
    def test_not_audio(self, tmp_path, capfd, content, extension):
        path = tmp_path / f"a.{extension}"
        path.write_bytes(content)
        refused(path, "^not audio")
        assert capfd.readouterr() == ("", "")

    def test_a_film_without_sound_is_not_audio(self, tmp_path):
        av = pytest.importorskip("av")
        path = tmp_path / "film.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=25)
            stream.width = stream.height = 16
            stream.pix_fmt = "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        refused(path, r"^not audio \(no sound track\)$")

    @pytest.mark.parametrize("container", ["WAV", "WAVEX", "AIFF", "AU", "W64", "RF64"])
    def test_no_samples(self, tmp_path, container):
        path = tmp_path / "a.wav"
        sf.write(path, np.zeros((0, 2)), SR, format=container, subtype="PCM_16")
        refused(path, "^no samples$")

    @pytest.mark.parametrize(("n_samples", "shown"), [(1, "0"), (529, "12"), (2_200, "50")])
    def test_too_short(self, tmp_path, n_samples, shown):
        path = write_wav(tmp_path / "a.wav", tones()[:n_samples])
        refused(path, rf"^shorter than 50 ms \({shown} ms\)$")

    def test_fifty_milliseconds_are_enough(self, tmp_path):
        assert load_clip(write_wav(tmp_path / "a.wav", tones()[:2_205]), 32_000).duration_s == 0.05

    def test_silence(self, tmp_path):
        refused(write_wav(tmp_path / "a.wav", np.zeros(SR)), r"^all silence \(peak below -90 dBFS\)$")
        one_step = np.where(np.arange(SR) % 2, 2**-15, 0.0)
        refused(write_wav(tmp_path / "b.wav", one_step), "^all silence")

    def test_very_quiet_is_not_silence(self, tmp_path):
        assert (
            load_clip(write_wav(tmp_path / "a.wav", 2e-4 * tones(), subtype="PCM_24"), SR).duration_s == 1.0
        )

    def test_silence_with_one_click_is_not_silence(self, tmp_path):
        signal = np.zeros(3 * SR)
        signal[-1] = 0.5
        assert load_clip(write_wav(tmp_path / "a.wav", signal), SR).duration_s == 3.0

    def test_channels_that_cancel(self, tmp_path):
        left = tones()[:, :1]
        path = write_wav(tmp_path / "a.wav", np.hstack([left, -left]), subtype="FLOAT")
        refused(path, r"^all silence in mono \(its channels cancel each other\)$")

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
    def test_not_finite(self, tmp_path, value, subtype):
        signal = tones()
        signal[SR // 3, 1] = value
        refused(write_wav(tmp_path / "a.wav", signal, subtype=subtype), "^NaN or infinite samples$")

    @pytest.mark.parametrize("scale", [1e12, 1e38])
    def test_absurd_values(self, tmp_path, scale):
        path = write_wav(tmp_path / "a.wav", tones() * np.float32(scale), subtype="FLOAT")
        refused(path, "^absurd sample values")

    @pytest.mark.parametrize("rate", [0, 1, 3_999, 384_001, 2_000_000_000, 0xFFFFFFFF])
    def test_absurd_rate(self, tmp_path, rate):
        data = bytearray(write_wav(tmp_path / "a.wav", tones()).read_bytes())
        data[24:28] = struct.pack("<I", rate)
        (tmp_path / "a.wav").write_bytes(data)
        refused(tmp_path / "a.wav", "^absurd sample rate")

    @pytest.mark.parametrize("rate", [4_000, 384_000])
    def test_rates_at_the_limits(self, tmp_path, rate):
        assert load_clip(write_wav(tmp_path / "a.wav", tones(), rate), rate).file_sample_rate == rate

    @pytest.mark.parametrize("n_channels", [0, 33, 1_024, 1_025, 60_000])
    def test_absurd_channel_count(self, tmp_path, n_channels):
        data = bytearray(write_wav(tmp_path / "a.wav", tones()).read_bytes())
        data[22:24] = struct.pack("<H", n_channels)
        data[32:34] = struct.pack("<H", 2 * n_channels % 2**16)
        (tmp_path / "a.wav").write_bytes(data)
        refused(tmp_path / "a.wav", "^absurd channel count")

    def test_thirty_two_channels(self, tmp_path):
        assert load_clip(write_wav(tmp_path / "a.wav", np.full((SR, 32), 0.1)), SR).n_channels == 32

    def test_longer_than_ten_minutes(self, tmp_path):
        signal = np.full(4_000 * 600 + 1, 0.1, np.float32)
        refused(write_wav(tmp_path / "a.wav", signal, 4_000), r"^longer than 10 minutes \(10\.0 minutes\)$")
        path = write_wav(tmp_path / "b.wav", signal[:-1], 4_000)
        assert load_clip(path, 4_000).duration_s == 600.0

    def test_length_is_refused_before_decoding(self, tmp_path):
        # One second of audio under a header that says an hour: decoding first would find it truncated.
        path = tmp_path / "a.flac"
        sf.write(path, tones(), SR, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        fields = int.from_bytes(data[18:26], "big")
        data[18:26] = (fields >> 36 << 36 | 3_600 * SR).to_bytes(8, "big")
        path.write_bytes(data)
        refused(path, r"^longer than 10 minutes \(60\.0 minutes\)$")

    def test_length_is_refused_while_decoding_where_the_header_is_silent(self, tmp_path):
        path = tmp_path / "a.flac"
        sf.write(path, np.full(4_000 * 601, 0.1, np.float32), 4_000, subtype="PCM_16")
        data = bytearray(path.read_bytes())
        fields = int.from_bytes(data[18:26], "big")
        data[18:26] = (fields >> 36 << 36).to_bytes(8, "big")
        path.write_bytes(data)
        refused(path, "^longer than 10 minutes")

    def test_a_long_mp3_is_refused(self, tmp_path):
        path, data, n_header_bytes = TestMp3.encoded(tmp_path, tones())
        frames = data[n_header_bytes:]
        n_repeats = 601 * SR // (1152 * int.from_bytes(data[44:48], "big")) + 1
        path.write_bytes(frames * n_repeats)
        refused(path, "^longer than 10 minutes")

    @pytest.mark.parametrize("name", ["m4a", "aac", "wma"])
    def test_pyav_missing(self, tmp_path, monkeypatch, name):
        path, *_ = write_encoded(tmp_path, name)
        monkeypatch.setitem(sys.modules, "av", None)
        refused(path, r"need PyAV: pip install 'loopsphere\[av\]'$")


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def reasons(skipped: list) -> dict[str, str]:
    return {entry.path: entry.reason for entry in skipped}


class TestFindLoops:
    @pytest.fixture(autouse=True)
    def inside(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_folders_are_walked_in_order_and_only_audio_is_taken(self, tmp_path):
        make(
            tmp_path,
            "p/b.wav",
            "p/a/z.FLAC",
            "p/a/2.mp3",
            "p/a.aiff",
            "p/readme.txt",
            "p/cover.jpg",
            "p/c/d/e.m4a",
        )
        loops, skipped = find_loops(["p"])
        assert [Path(loop).as_posix() for loop in loops] == [
            "p/a/2.mp3",
            "p/a/z.FLAC",
            "p/a.aiff",
            "p/b.wav",
            "p/c/d/e.m4a",
        ]
        assert skipped == []

    def test_hidden_entries_are_passed_over(self, tmp_path):
        make(tmp_path, "p/._a.wav", "p/.git/a.wav", "p/__MACOSX/a.wav", "p/.loopsphere/b.wav", "p/a.wav")
        assert find_loops(["p"]) == ([str(Path("p/a.wav"))], [])

    def test_a_file_that_is_named_is_taken(self, tmp_path):
        make(tmp_path, "loop.xyz", ".hidden.wav")
        assert find_loops(["loop.xyz", ".hidden.wav"]) == (["loop.xyz", ".hidden.wav"], [])

    def test_duplicates_are_taken_once_in_the_order_given(self, tmp_path):
        make(tmp_path, "p/a.wav", "p/b.wav")
        loops, _ = find_loops(["p/b.wav", "p", "p/../p/a.wav", tmp_path / "p", "p/*.wav"])
        assert loops == ["p/b.wav", str(Path("p/a.wav"))]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("p/*.wav", ["p/1.wav", "p/2.wav"]),
            ("p/**/*.wav", ["p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
            ("**/r/*", ["p/q/r/4.wav"]),
            ("p/[2-9].wav", ["p/2.wav"]),
            ("p/?.mp3", ["p/1.mp3"]),
            ("p/*", ["p/1.mp3", "p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
            ("*/q/*.wav", ["p/q/3.wav"]),
            ("p/**", ["p/1.mp3", "p/1.wav", "p/2.wav", "p/q/3.wav", "p/q/r/4.wav"]),
        ],
    )
    def test_globs(self, tmp_path, pattern, expected):
        make(
            tmp_path, "p/2.wav", "p/1.wav", "p/1.mp3", "p/q/3.wav", "p/q/r/4.wav", "p/note.txt", "p/.x/5.wav"
        )
        loops, skipped = find_loops([pattern])
        assert ([Path(loop).as_posix() for loop in loops], skipped) == (expected, [])
        absolute, _ = find_loops([str(tmp_path / pattern)])
        assert absolute == [str(tmp_path / name) for name in expected]

    def test_a_name_that_looks_like_a_pattern_is_itself(self, tmp_path):
        make(tmp_path, "loop [120 bpm].wav", "loop 1.wav", "[set]/a.wav")
        assert find_loops(["loop [120 bpm].wav", "[set]"])[0] == [
            "loop [120 bpm].wav",
            str(Path("[set]/a.wav")),
        ]

    def test_what_is_not_there_is_skipped_once(self):
        loops, skipped = find_loops(["gone.wav", "gone.wav", "none/*.wav", "nul\0.wav"])
        assert loops == []
        assert reasons(skipped) == {
            "gone.wav": "no such file or folder",
            "none/*.wav": "no loop matches this pattern",
            "nul\0.wav": "no such file or folder",
        }

    @pytest.mark.parametrize("separator", ["\n", "\r\n", "\0"])
    def test_a_list_on_standard_input(self, tmp_path, separator):
        make(tmp_path, "a b.wav", "p/ü.wav", "c.wav")
        listed = separator.join(["a b.wav", "p", "gone.wav", ""])
        loops, skipped = find_loops(["c.wav", "-"], stdin=io.StringIO(listed, newline=""))
        assert loops == ["c.wav", "a b.wav", str(Path("p/ü.wav"))]
        assert reasons(skipped) == {"gone.wav": "no such file or folder"}

    def test_a_list_on_standard_input_that_is_not_utf8(self, tmp_path):
        make(tmp_path, "a.wav")
        stdin = io.TextIOWrapper(io.BytesIO(b"caf\xe9.wav\na.wav\n"), encoding="utf-8")
        loops, skipped = find_loops(["-"], stdin=stdin)
        assert loops == ["a.wav"]
        assert len(skipped) == 1

    def test_symlinks_are_followed(self, tmp_path):
        make(tmp_path, "p/a.wav", "elsewhere/b.wav")
        (tmp_path / "p/link.wav").symlink_to(tmp_path / "elsewhere/b.wav")
        (tmp_path / "p/more").symlink_to(tmp_path / "elsewhere")
        loops, skipped = find_loops(["p"])
        assert [Path(loop).as_posix() for loop in loops] == ["p/a.wav", "p/link.wav", "p/more/b.wav"]
        assert skipped == []

    def test_broken_symlinks_are_skipped(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p/gone.wav").symlink_to("nowhere")
        loops, skipped = find_loops(["p", "p/gone.wav"])
        assert loops == [str(Path("p/a.wav"))]
        assert reasons(skipped) == {str(Path("p/gone.wav")): "a broken symlink"}

    @pytest.mark.parametrize("source", ["p", "p/**/*.wav"])
    @pytest.mark.parametrize("target", ["p", "p/q", "."])
    def test_a_loop_of_folders_ends(self, tmp_path, source, target):
        make(tmp_path, "p/a.wav", "p/q/b.wav")
        (tmp_path / "p/q/back").symlink_to(tmp_path / target)
        loops, skipped = find_loops([source])
        assert {"p/a.wav", "p/q/b.wav"} <= {Path(loop).as_posix() for loop in loops}
        assert len(loops) <= 4
        assert "a folder loop through symlinks" in reasons(skipped).values()

    def test_a_symlink_to_itself_is_skipped(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p/self.wav").symlink_to(tmp_path / "p/self.wav")
        loops, skipped = find_loops(["p"])
        assert loops == [str(Path("p/a.wav"))]
        assert "symbolic links" in skipped[0].reason

    @pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file names are Unicode here")
    def test_a_name_that_is_not_utf8_is_skipped_and_printable(self, tmp_path):
        make(tmp_path, "p/a.wav")
        (tmp_path / "p" / os.fsdecode(b"caf\xe9.wav")).touch()
        folder = tmp_path / "p" / os.fsdecode(b"b\xff")
        folder.mkdir()
        (folder / "c.wav").touch()
        loops, skipped = find_loops(["p", os.fsdecode(b"p/caf\xe9.wav")])
        assert loops == ["p/a.wav"]
        assert set(reasons(skipped).values()) == {"its name is not UTF-8; rename it"}
        assert [entry.path.encode("utf-8") for entry in skipped] == [b"p/b\\udcff/c.wav", b"p/caf\\udce9.wav"]

    @pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no permission bits")
    def test_a_folder_without_permission_is_skipped(self):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            root.chmod(0o755)
            make(root, "open/a.wav", "shut/b.wav")
            (root / "shut").chmod(0)
            user = os.geteuid()
            if user == 0:
                os.seteuid(65_534)
            try:
                loops, skipped = find_loops([root])
            finally:
                if user == 0:
                    os.seteuid(0)
                (root / "shut").chmod(0o755)
        assert loops == [str(root / "open/a.wav")]
        assert reasons(skipped) == {str(root / "shut"): "no permission to read it"}

    def test_a_tree_deeper_than_the_recursion_limit_is_walked(self, tmp_path):
        n_levels = 150  # more would be too deep for pytest's own clean-up
        for _ in range(n_levels):
            Path("d").mkdir()
            os.chdir("d")
        Path("deep.wav").touch()
        os.chdir(tmp_path)
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(len(inspect.stack()) + 100)
        try:
            loops, skipped = find_loops(["d"])
        finally:
            sys.setrecursionlimit(limit)
        assert skipped == []
        assert [Path(loop).parts.count("d") for loop in loops] == [n_levels]
