"""Any bytes become a finite clip or a refusal; any order on a disk becomes the same list."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile as sf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from loopsphere.audio import MAX_DURATION_S, MIN_DURATION_S, find_loops, load_clip
from loopsphere.errors import AudioError
from loopsphere.types import Clip

SR = 16_000
SOUNDFILE_ENCODINGS = {
    "wav": ("WAV", "PCM_16"),
    "wav-float": ("WAV", "FLOAT"),
    "wav-adpcm": ("WAV", "IMA_ADPCM"),
    "wavex": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_16"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_16"),
    "caf-alac": ("CAF", "ALAC_16"),
    "au": ("AU", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "vorbis": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
PYAV_ENCODINGS = {"m4a": ("mp4", "aac"), "aac": ("adts", "aac"), "wma": ("asf", "wmav2")}
MAGICS = [
    b"RIFF\xff\xff\xff\xffWAVEfmt ",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"FORM\x00\x00\x10\x00AIFFCOMM",
    b"fLaC\x00\x00\x00\x22",
    b"OggS\x00\x02",
    b"ID3\x04\x00\x00\x00\x00\x00\x10",
    b"\xff\xfb\x90\x00",
    b"\xff\xf1\x50\x80",
    b"\x00\x00\x00\x20ftypM4A ",
    b"caff\x00\x01\x00\x00desc",
    b".snd\x00\x00\x00\x18",
    bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    bytes.fromhex("726966662e91cf11a5d628db04c10000"),
    b"",
]
fuzzing = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _signal() -> np.ndarray:
    time_s = np.arange(SR // 4) / SR
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s)
    return np.stack(
        [0.4 * swell * np.sin(2 * np.pi * 220 * time_s), 0.3 * swell * np.sin(2 * np.pi * 330 * time_s)],
        axis=1,
    ).astype(np.float32)


def _encode_pyav(path: Path, container_format: str, codec: str) -> None:
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=SR)
        stream.layout, stream.bit_rate = "stereo", 64_000
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(_signal().T), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = SR, 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@functools.cache
def encoded(name: str) -> bytes:
    """Return a short stereo file in one encoding."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "loop"
        if name in PYAV_ENCODINGS:
            _encode_pyav(path, *PYAV_ENCODINGS[name])
        else:
            container, subtype = SOUNDFILE_ENCODINGS[name]
            sf.write(path, _signal(), SR, format=container, subtype=subtype)
        return path.read_bytes()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "loop.bin"


def load_or_refuse(path: Path, data: bytes) -> Clip | None:
    """Load `data` as a file; None where it is refused. Any other error fails the test."""
    path.write_bytes(data)
    try:
        clip = load_clip(path, 32_000)
    except AudioError as error:
        reason = str(error)
        assert 0 < len(reason) < 200
        assert reason == reason.strip()
        assert "\n" not in reason
        assert str(path) not in reason
        return None
    assert clip.waveform.dtype == np.float32
    assert clip.waveform.ndim == 1
    assert np.isfinite(clip.waveform).all()
    assert MIN_DURATION_S <= clip.duration_s <= MAX_DURATION_S
    assert len(clip.waveform) == pytest.approx(clip.duration_s * 32_000, abs=1)
    return clip


@fuzzing
@given(magic=st.sampled_from(MAGICS), rest=st.binary(max_size=3_000))
def test_random_bytes_are_refused_or_finite(scratch, magic, rest):
    load_or_refuse(scratch, magic + rest)


@pytest.mark.parametrize("name", [*SOUNDFILE_ENCODINGS, *PYAV_ENCODINGS])
@settings(fuzzing, max_examples=40)
@given(data=st.data())
def test_mutated_files_are_refused_or_finite(scratch, name, data):
    mutated = bytearray(encoded(name))
    for _ in range(data.draw(st.integers(1, 6), label="mutations")):
        # Half of them in the headers, where they do most harm
        where = data.draw(
            st.integers(0, min(200, len(mutated) - 1)) | st.integers(0, len(mutated) - 1), label="where"
        )
        new = data.draw(
            st.binary(min_size=1, max_size=8) | st.sampled_from([b"\xff" * 4, bytes(4)]), label="new"
        )
        kind = data.draw(st.sampled_from(["replace", "insert", "delete"]), label="kind")
        if kind == "replace":
            mutated[where : where + len(new)] = new
        elif kind == "insert":
            mutated[where:where] = new
        else:
            del mutated[where : where + len(new)]
    load_or_refuse(scratch, bytes(mutated))


# A bare AAC stream cut between two frames is a shorter stream, so it is left out.
@pytest.mark.parametrize("name", [*SOUNDFILE_ENCODINGS, "m4a", "wma"])
@settings(fuzzing, max_examples=40)
@given(data=st.data())
def test_no_cut_passes_unnoticed(scratch, name, data):
    whole = encoded(name)
    n_kept = data.draw(st.integers(1, len(whole) - 1), label="bytes kept")
    clip = load_or_refuse(scratch, whole[:n_kept])
    if clip is not None:  # only padding or an index was lost
        complete = load_or_refuse(scratch, whole)
        assert complete is not None
        assert clip.audio_hash == complete.audio_hash


@settings(fuzzing, max_examples=40)
@given(
    samples=hnp.arrays(np.int16, st.tuples(st.integers(1_000, 3_000), st.integers(1, 4))).filter(
        lambda x: x[0].any()
    ),
    containers=st.permutations(["WAV", "FLAC", "AIFF", "CAF", "W64"]),
)
def test_lossless_containers_give_one_hash_and_one_waveform(samples, containers):
    loud = samples.copy()
    loud[0] = 8_000
    with tempfile.TemporaryDirectory() as folder:
        clips = []
        for container in containers[:2]:
            path = Path(folder) / container
            sf.write(path, loud, SR, format=container, subtype="PCM_16")
            clips.append(load_clip(path, SR))
    assert clips[0].audio_hash == clips[1].audio_hash
    np.testing.assert_array_equal(clips[0].waveform, clips[1].waveform)
    np.testing.assert_allclose(clips[0].waveform, loud.mean(axis=1) / 32_768, atol=1e-6)


@settings(fuzzing, max_examples=30)
@given(
    samples=hnp.arrays(np.float32, (2_000, 4), elements=st.floats(-1, 1, width=32)),
    order=st.permutations(range(4)),
)
def test_the_order_of_channels_does_not_change_mono(samples, order):
    samples[0] = 0.5
    with tempfile.TemporaryDirectory() as folder:
        waveforms = []
        for name, channels in (("a", samples), ("b", samples[:, order])):
            path = Path(folder) / name
            sf.write(path, channels, SR, format="WAV", subtype="FLOAT")
            waveforms.append(load_clip(path, 32_000).waveform)
    np.testing.assert_allclose(waveforms[0], waveforms[1], atol=1e-6)


names = st.text(st.sampled_from("abAB019 _-äéñ中🎸[]*"), min_size=1, max_size=4).filter(
    lambda name: name.strip()
)
folders = st.lists(names.map(lambda name: f"{name}_"), max_size=3).map(tuple)
trees = st.lists(
    st.tuples(folders, names.map(lambda name: f"{name}.wav")), min_size=1, max_size=8, unique=True
)


@settings(fuzzing, max_examples=60)
@given(tree=trees, data=st.data())
def test_the_order_found_is_that_of_the_names(tree, data):
    listings = []
    for files in (tree, data.draw(st.permutations(tree), label="created in another order")):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for parents, name in files:
                root.joinpath(*parents).mkdir(parents=True, exist_ok=True)
                root.joinpath(*parents, name).touch()
            loops, skipped = find_loops([root, root / "**" / "*.wav"])
            assert skipped == []
            listings.append([Path(loop).relative_to(root).parts for loop in loops])
    assert listings[0] == listings[1] == sorted({(*parents, name) for parents, name in tree})
