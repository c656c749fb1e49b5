"""An encoder that was loaded before is known without loading it, and only as long as it is the same."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import loopsphere as ls
from loopsphere.collection import embedding
from loopsphere.collection.embedding import cached_encoder, encoder_identity
from loopsphere.encoders.identity import EncoderIdentity, identity_key
from loopsphere.encoders.loading import BUNDLED_FILE
from loopsphere.library import Library, open_library
from loopsphere.settings import Settings

SETTINGS = ("bundled", "cpu", "float32")


@pytest.fixture
def loops(tmp_path: Path) -> Path:
    folder = tmp_path / "loops"
    folder.mkdir()
    rng = np.random.default_rng(2)
    for number in range(5):
        sf.write(folder / f"{number}.wav", rng.normal(size=8_000) * 0.1, 16_000)
        os.utime(folder / f"{number}.wav", (1e9, 1e9))
    (folder / "no loop.wav").write_bytes(b"RIFF and nothing else")
    return folder


def embedded(folder: Path, library: Library):
    return ls.embed(folder, device="cpu", precision="float32", library=library)


def refuse(*_: object, **__: object) -> None:
    raise AssertionError("not needed")


def test_what_is_known_is_embedded_without_the_networks(loops, monkeypatch):
    library = open_library(loops / ".loopsphere")
    first = embedded(loops, library)
    monkeypatch.setattr(embedding, "cached_encoder", refuse)
    second = embedded(loops, library)
    assert np.array_equal(first.embedding, second.embedding)
    assert (first.encoder, first.encoder_hash, first.skipped) == (
        second.encoder,
        second.encoder_hash,
        second.skipped,
    )
    # As are files that moved.
    (loops / "0.wav").rename(loops / "moved.wav")
    assert len(embedded(loops, library).paths) == 5


def test_a_new_loop_is_embedded_as_without_a_library(loops):
    library = open_library(loops / ".loopsphere")
    embedded(loops, library)
    sf.write(loops / "new.wav", np.random.default_rng(3).normal(size=8_000) * 0.1, 16_000)
    plain = ls.embed(loops, device="cpu", precision="float32")
    assert np.array_equal(embedded(loops, library).embedding, plain.embedding)


def test_an_identity_that_no_longer_holds_is_replaced_when_the_encoder_is_loaded(loops, tmp_path):
    library = open_library(tmp_path / ".loopsphere")
    true = EncoderIdentity.of(cached_encoder(*SETTINGS))
    key = identity_key(*SETTINGS)
    settings = Settings("cpu", "float32", library=library)
    assert key is not None
    library.put_made("identities", {key: replace(true, hash="f" * 64).to_bytes()})
    assert encoder_identity("bundled", settings).hash == "f" * 64
    assert embedded(loops, library).encoder_hash == true.hash
    assert encoder_identity("bundled", settings) == true


def test_an_encoder_is_the_same_while_all_that_decides_it_is(tmp_path, monkeypatch):
    weights = tmp_path / "Gewichte ü.safetensors"
    shutil.copy2(BUNDLED_FILE, weights)
    keys = {identity_key(str(weights), "cpu", "float32"), identity_key(*SETTINGS)}
    assert identity_key(str(weights), "cpu", "float32") in keys
    os.utime(weights, (1, 1))
    keys.add(identity_key(str(weights), "cpu", "float32"))
    keys.add(identity_key(str(weights), "auto", "float32"))
    keys.add(identity_key(str(weights), "cpu", "auto"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    keys.add(identity_key(str(weights), "cpu", "auto"))
    assert len(keys) == 6
    assert None not in keys
    assert identity_key(str(tmp_path / "gone"), "cpu", "auto") is None
    assert identity_key("clap-htsat-fused", "cpu", "auto") is None
