"""What decides a result besides data and settings: versions of libraries, and the package's own code."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_digest(*names: str) -> str:
    """Return a digest of modules and of all modules in subpackages, by their places in the package.

    A version number alone would miss a change to them.
    """
    package = Path(__file__).parent
    digest = hashlib.sha256()
    for name in names:
        paths = sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name]
        for path in paths:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def library_versions() -> dict[str, str]:
    """Return the versions of loopsphere and of the libraries that decide its numbers."""
    versions = {}
    for name in ("loopsphere", "numpy", "scikit-learn", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions
