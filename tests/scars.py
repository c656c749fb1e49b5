"""Damage for the tests that read damaged files."""

from __future__ import annotations

import numpy as np


def scarred(data: bytes, rng: np.random.Generator) -> bytes:
    """Damage bytes as disks, transfers and editors do, or as someone would to find a way in."""
    scars = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, length = int(rng.integers(len(scars) + 1)), int(rng.integers(1, 17))
        match rng.integers(7):
            case 0:
                for position in rng.integers(len(scars), size=length) if scars else ():
                    scars[position] ^= 1 << rng.integers(8)
            case 1:
                scars[at : at + length] = rng.bytes(length)
            case 2:
                scars[at : at + length] = (b"\xff" if rng.integers(2) else b"\0") * length
            case 3:
                del scars[at:]
            case 4:
                del scars[at : at + length]
            case 5:
                other = int(rng.integers(len(scars) + 1))
                scars[at:at] = scars[other : other + length]
            case 6:
                numbers = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
                value = numbers[rng.integers(len(numbers))]
                scars[at : at + 8] = value.to_bytes(8, "little")
    return bytes(scars)
