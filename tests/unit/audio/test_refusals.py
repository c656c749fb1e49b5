"""What is refused, and in which words."""

from __future__ import annotations

import os
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_files import SR, refused, tones, write_encoded, write_variable_mp3, write_wav
from loopsphere.audio import load_clip


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

    def test_a_codec_that_does_not_exist_is_damage(self, tmp_path):
        path, *_ = write_encoded(tmp_path, "m4a")
        data = path.read_bytes()
        # The name of the codec, and its number among those of MPEG-4: FFmpeg goes by either.
        for name, unknown in [(b"mp4a", b"mp\x014"), (b"\x40\x15", b"\xfe\x15")]:
            assert data.count(name) == 1
            data = data.replace(name, unknown)
        path.write_bytes(data)
        refused(path, r"^truncated or damaged \(no such codec\)$")

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
        path, data, n_header_bytes = write_variable_mp3(tmp_path, tones())
        frames = data[n_header_bytes:]
        n_repeats = 601 * SR // (1152 * int.from_bytes(data[44:48], "big")) + 1
        path.write_bytes(frames * n_repeats)
        refused(path, "^longer than 10 minutes")

    @pytest.mark.parametrize("name", ["m4a", "aac", "wma"])
    def test_pyav_missing(self, tmp_path, monkeypatch, name):
        path, *_ = write_encoded(tmp_path, name)
        monkeypatch.setitem(sys.modules, "av", None)
        refused(path, r"need PyAV: pip install 'loopsphere\[av\]'$")
