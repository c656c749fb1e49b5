"""The tutorials' blocks run as they stand, in order: commands, and Python that keeps its names."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = sorted((DOCS / "tutorials").glob("*.md"))
_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def script_of(text: str) -> str:
    """All blocks as one Python script; a command is run by the same Python."""
    lines = ["import subprocess as _run"]
    for language, block in _BLOCK.findall(text):
        if language == "python":
            lines.append(block)
            continue
        for line in block.splitlines():
            assert line.startswith("$ loopsphere "), f"only commands of ours are shown: {line}"
            words = [sys.executable, "-m", "loopsphere", *shlex.split(line)[2:]]
            lines.append(f"_run.run({words!r}, check=True)")
    return "\n".join(lines)


def test_there_is_something_to_run():
    assert len(TUTORIALS) == 3
    assert all(len(_BLOCK.findall(page.read_text(encoding="utf-8"))) >= 4 for page in TUTORIALS)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_runs(page, tmp_path):
    script = tmp_path / "tutorial.py"
    script.write_text(script_of(page.read_text(encoding="utf-8")), encoding="utf-8")
    # Relative entries, such as those of the developers' PYTHONPATH, count from where the tests run.
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = os.pathsep.join(str(Path(entry).absolute()) for entry in entries if entry)
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
