"""What several test files share: a small rendered collection, and where the real recordings lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loopsphere.synth import render_collection

N_LOOPS = 36


@pytest.fixture(scope="session")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 36 rendered loops, three of them odd; its name has a space, an umlaut and an emoji."""
    folder = tmp_path_factory.mktemp("loops") / "Schöne Loops 🎸"
    render_collection(folder, n_loops=N_LOOPS, odd_share=3 / N_LOOPS, seed=3, sample_rate=32_000)
    return folder


@pytest.fixture(scope="session")
def real_loops() -> Path:
    """The real recordings, where this machine has them."""
    data = Path(os.environ.get("LOOPSPHERE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (data / "loops" / "manifest.csv").exists():
        pytest.skip(f"no real recordings at {data}; set LOOPSPHERE_DATA")
    return data / "loops"
