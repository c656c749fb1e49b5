"""Files that were cut or damaged are refused, and files that only look so are not."""

from __future__ import annotations

import errno
import io
import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from audio_files import ENCODINGS, SR, refused, tones, write_encoded, write_variable_mp3, write_wav
from loopsphere.audio import load_clip


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

    def swelling(self) -> np.ndarray:
        rng = np.random.default_rng(3)
        return (
            tones(duration_s=2.0)
            + 0.2 * np.linspace(1, 0, 2 * SR)[:, None] ** 4 * rng.normal(size=(2 * SR, 2))
        ).astype(np.float32)

    def test_without_a_header_frame_nothing_is_dropped(self, tmp_path, capfd):
        av = pytest.importorskip("av")
        path, data, n_header_bytes = write_variable_mp3(tmp_path, self.swelling())
        path.write_bytes(data[n_header_bytes:])
        with av.open(str(path)) as container:
            peer_samples = sum(frame.samples for frame in container.decode(audio=0))
        n_samples = len(load_clip(path, SR).waveform)
        assert sf.info(path).frames < peer_samples - 5 * 1152  # what this guards against
        assert abs(n_samples - peer_samples) <= 1152
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize("off_by", [-20, -1, 1])
    def test_a_header_frame_that_counts_wrong_drops_nothing(self, tmp_path, off_by):
        path, data, _ = write_variable_mp3(tmp_path, tones())
        whole = load_clip(path, SR)
        n_frames = int.from_bytes(data[44:48], "big")
        path.write_bytes(data[:44] + (n_frames + off_by).to_bytes(4, "big") + data[48:])
        assert load_clip(path, SR).audio_hash == whole.audio_hash

    def test_frames_missing_at_a_frame_boundary_are_counted(self, tmp_path):
        path, data, _ = write_variable_mp3(tmp_path, tones())
        sync = data[:2]
        last = data.rindex(sync)
        path.write_bytes(data[:last])
        refused(path, r"^truncated \(\d+ of \d+ MP3 frames are missing\)$")

    @pytest.mark.parametrize("junk", [bytes(700), b"garbage!" * 50])
    def test_junk_between_frames_is_damage_and_in_front_is_not(self, tmp_path, capfd, junk):
        path, data, _ = write_variable_mp3(tmp_path, tones())
        whole = load_clip(path, SR)
        path.write_bytes(junk + data)
        assert load_clip(path, SR).audio_hash == whole.audio_hash
        middle = data.index(data[:2], len(data) // 2)
        path.write_bytes(data[:middle] + junk + data[middle:])
        refused(path, "^damaged")
        assert capfd.readouterr() == ("", "")

    def test_a_vbri_header_frame_is_not_played(self, tmp_path):
        path, data, n_header_bytes = write_variable_mp3(tmp_path, tones())
        n_frames, n_bytes = data[44:48], data[48:52]
        vbri = bytearray(n_header_bytes)
        vbri[:4] = data[:4]
        vbri[36:54] = b"VBRI" + bytes(6) + n_bytes + n_frames
        path.write_bytes(data[n_header_bytes:])
        bare = load_clip(path, SR)
        path.write_bytes(bytes(vbri) + data[n_header_bytes:])
        assert load_clip(path, SR).audio_hash == bare.audio_hash


class TestSampleDump:
    """libsndfile prints bytes to standard output where a block does not begin as one."""

    def dump(self, folder: Path) -> Path:
        path = folder / "a.sds"
        sf.write(path, tones(8_000, 0.5)[:, 0], 8_000, format="SDS", subtype="PCM_16")
        return path

    def test_a_whole_one_is_read_and_a_cut_one_is_not(self, tmp_path):
        path = self.dump(tmp_path)
        assert load_clip(path, SR).duration_s == 0.5
        for n_kept in (15, 20, len(path.read_bytes()) - 1):
            path.write_bytes(path.read_bytes()[:n_kept])
            refused(path, "^truncated")
            path = self.dump(tmp_path)

    @pytest.mark.parametrize("place", [0, 1])
    def test_a_block_that_does_not_begin_as_one_is_damage(self, tmp_path, place):
        path = self.dump(tmp_path)
        data = bytearray(path.read_bytes())
        data[21 + 3 * 127 + place] ^= 0x40
        path.write_bytes(data)
        refused(path, "^damaged")
