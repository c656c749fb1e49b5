"""Two thousand damaged files of every format that is read: refused in our words, or finite, and soon.

In a process of its own, so that a crash, a hang or what a decoder prints is seen. Every mutant is drawn from
its number; to see one again, run `python tests/properties/test_damaged_audio.py FIRST LAST`.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

N_MUTANTS = 2000
LONGEST_S = 10.0
GROWTH_KB = 300_000
TESTS = Path(__file__).parents[1]


def mutate(first: int, last: int, folder: Path) -> None:
    """Read the mutants with these numbers; an exception that is not ours ends the process."""
    from loopsphere.audio import load_clip, load_recording
    from loopsphere.audio.tags import container_tags, read_music_tags
    from loopsphere.errors import AudioError

    sys.path.insert(0, str(TESTS))
    from audio_files import PYAV_ENCODINGS, write_encoded, write_every_format
    from scars import scarred

    readable = {}
    by_pyav = (write_encoded(folder, name, 0.5)[0] for name in PYAV_ENCODINGS)
    for path in [*write_every_format(folder), *by_pyav]:
        try:
            load_clip(path, 32_000)
        except AudioError:
            continue
        readable[path] = path.read_bytes()
    paths, n_used = list(readable), 0
    assert len(paths) > 120
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(first, last):
        print(number, paths[number % len(paths)].name, flush=True)
        rng, whole = np.random.default_rng(number), readable[paths[number % len(paths)]]
        n_head = int(rng.integers(16, 400)) if rng.integers(2) else len(whole)  # where damage does most harm
        mutant = folder / f"mutant{paths[number % len(paths)].suffix}"
        mutant.write_bytes(scarred(whole[:n_head], rng) + whole[n_head:])
        began = time.perf_counter()
        try:
            clip, recording = load_clip(mutant, 32_000), load_recording(mutant)
        except AudioError as error:
            assert "unexpected" not in str(error), error
        else:
            assert np.isfinite(clip.waveform).all()
            assert np.isfinite(recording.samples).all()
            assert clip.audio_hash == recording.audio_hash
            n_used += 1
        container_tags(mutant), read_music_tags(mutant)
        assert time.perf_counter() - began < LONGEST_S
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < GROWTH_KB
    assert 0.2 < n_used / (last - first) < 0.8


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is counted in other units")
def test_damaged_audio_is_refused_or_finite():
    pytest.importorskip("av")
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", __file__, "0", str(N_MUTANTS)],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=1100,
        check=False,
    )
    printed = run.stdout.splitlines()
    assert run.returncode == 0, (printed[-1:], run.stderr[-3000:])
    # Nothing but the numbers: a decoder that prints would spoil what `--json -` writes.
    assert [line.split(" ")[0] for line in printed] == [str(number) for number in range(N_MUTANTS)]
    # Left out of what the command writes; see tests/cli/test_decoder_messages.py.
    allowed = ("[src/libmpg123/", "Note: ")
    assert not [line for line in run.stderr.splitlines() if not line.startswith(allowed)]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        mutate(int(sys.argv[1]), int(sys.argv[2]), Path(made))
