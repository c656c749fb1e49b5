"""A checkpoint of the hub, where there is no hub."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = """
from loopsphere.encoders import load_encoder
from loopsphere.errors import CheckpointError
try:
    load_encoder("clap-htsat-fused")
except CheckpointError as error:
    print(error)
"""


def test_without_a_network_the_answer_is_quick_and_says_what_to_do(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    # The discard port of this machine, where nobody listens; in another process, as it is read at import.
    settings = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}
    environment = {**os.environ, **settings}
    command = [sys.executable, "-c", CODE]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    source = "laion/clap-htsat-fused"
    assert run.stdout.startswith(f"{source} is neither a path here nor could it be downloaded: ")
    assert "Check the name and the connection" in run.stdout
    assert "Retry" not in run.stderr  # it would take half a minute
