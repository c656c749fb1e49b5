"""What a network computes in, and how an encoder's hash tells it."""

from __future__ import annotations

PRECISIONS = ("auto", "float32", "bfloat16")
DEFAULT_PRECISION = "float32"
"""In float32 processors agree: see `benchmarks/portability.md`. bfloat16 is faster where there is any,
and rounds so much that a small collection can be ranked otherwise."""
_SEPARATOR = "-"


def hash_in(digest: str, precision: str) -> str:
    """Return an encoder's hash: the digest of its weights, and the precision unless that is float32."""
    return digest if precision == "float32" else digest + _SEPARATOR + precision


def precision_of(encoder_hash: str) -> str:
    """Return the precision that embeddings were made in, by the hash of their encoder."""
    return encoder_hash.partition(_SEPARATOR)[2] or "float32"
