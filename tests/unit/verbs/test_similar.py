"""`similar`: the nearest loops of a library, by tempo and key if asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import loopsphere as ls
from loopsphere.errors import LibraryError, UnknownNameError
from loopsphere.explain.filename_hints import Key
from loopsphere.library import Library, open_library
from loopsphere.verbs.similar import similar, wish_from


@pytest.fixture(scope="module")
def scanned(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Library]:
    """Twelve of the rendered bass loops, one of them twice, in a library."""
    folder = tmp_path_factory.mktemp("near") / "Bässe 🎸"
    shutil.copytree(collection / "bass", folder)
    first = sorted(folder.rglob("*.wav"))[0]
    shutil.copy(first, first.with_name("a copy of it.wav"))
    library = open_library(folder / ".loopsphere")
    ls.embed(folder, library=library)
    return folder, library


def test_the_nearest_come_first_and_neither_itself_nor_its_copy(scanned) -> None:
    folder, library = scanned
    loop = sorted(folder.rglob("*.wav"))[1]
    assert loop.name != "a copy of it.wav"
    found = similar(loop, library=library, n_loops=50)
    similarities = [each.similarity for each in found.loops]
    assert similarities == sorted(similarities, reverse=True)
    everyone = {path for each in found.loops for path in (each.path, *each.copies)}
    others = {str(path) for path in folder.rglob("*.wav")}
    own = loop.read_bytes()
    assert everyone == {path for path in others if Path(path).read_bytes() != own}
    assert found.n_searched == len(found.loops)


def test_copies_are_one_entry(scanned) -> None:
    folder, library = scanned
    loop = sorted(folder.rglob("*.wav"))[-1]
    found = similar(loop, library=library, n_loops=50)
    assert [len(each.copies) for each in found.loops].count(1) == 1


def test_only_what_is_wished(scanned) -> None:
    folder, library = scanned
    loop = sorted(folder.rglob("*.wav"))[-1]
    low, high = 90.0, 118.0
    found = similar(loop, library=library, bpm=f"{low:g}-{high:g}", n_loops=50)
    assert 0 < len(found.loops) < found.n_searched
    assert all(low <= each.tempo_bpm <= high for each in found.loops)
    none = similar(loop, library=library, bpm="20-21")
    assert none.loops == ()


def test_a_loop_from_elsewhere_is_compared_and_not_added(scanned, collection: Path) -> None:
    folder, library = scanned
    known = set(library.files())
    loop = sorted((collection / "drums").rglob("*.wav"))[0]
    assert len(similar(loop, library=library, n_loops=3).loops) == 3
    among = [str(path) for path in sorted(folder.rglob("*.wav"))[:2]]
    assert {each.path for each in similar(loop, among, library=library).loops} <= set(among)
    assert set(library.files()) == known


def test_an_empty_library_says_what_to_do(collection: Path, tmp_path: Path) -> None:
    loop = next((collection / "drums").rglob("*.wav"))
    with pytest.raises(LibraryError, match="holds no other loop; scan a folder first"):
        similar(loop, library=open_library(tmp_path / ".loopsphere"))


def test_a_folder_is_searched_without_a_library(scanned, tmp_path: Path) -> None:
    folder, library = scanned
    loop = sorted(folder.rglob("*.wav"))[-1]
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare, ignore=shutil.ignore_patterns(".loopsphere"))
    found = similar(loop, bare, n_loops=3)
    near = similar(loop, library=library, n_loops=3)
    assert [Path(each.path).name for each in found] == [Path(each.path).name for each in near]
    assert [each.similarity for each in found] == [each.similarity for each in near]
    assert list(bare.iterdir()) and not (bare / ".loopsphere").exists()


def test_it_says_that_there_is_nothing_to_search(collection: Path) -> None:
    loop = next((collection / "drums").rglob("*.wav"))
    with pytest.raises(LibraryError, match="say where to search"):
        similar(loop)


def test_wishes_are_read() -> None:
    assert wish_from("90-110", None).tempo_bpm == (90.0, 110.0)
    assert wish_from("100", None).tempo_bpm == (99.0, 101.0)
    assert wish_from(None, "Am").key == Key(9, True)
    assert wish_from(None, "Am").is_met(None, "A minor")
    assert not wish_from(None, "Am").is_met(120.0, "A major")
    assert not wish_from("90-110", None).is_met(None, "A minor")


@pytest.mark.parametrize(
    ("bpm", "key", "said"),
    [
        ("fast", None, "such as 100 or 90-110"),
        ("90-", None, "such as 100 or 90-110"),
        ("110-90", None, "from the slower to the faster"),
        (None, "H#", "a key is such as Am"),
    ],
)
def test_wishes_that_cannot_be_read(bpm: str | None, key: str | None, said: str) -> None:
    with pytest.raises(UnknownNameError, match=said):
        wish_from(bpm, key)
