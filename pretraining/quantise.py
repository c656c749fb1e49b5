"""Log-mels as bytes: a pool of thousands of loops then fits in memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from loopsphere.features.config import BUNDLED

STEP_DB = 0.4  # 256 steps from the front end's floor of -50 dB to +52 dB


def to_bytes(log_mel: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Round a log-mel in dB to steps of `STEP_DB` above the front end's floor."""
    return np.clip(np.rint((log_mel - BUNDLED.floor_db) / STEP_DB), 0, 255).astype(np.uint8)


def to_db(quantised: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Undo `to_bytes`, within half a step."""
    return quantised.astype(np.float32) * np.float32(STEP_DB) + np.float32(BUNDLED.floor_db)
