"""A file is whole or it is not there."""

import os
import stat
import sys

import pytest

from loopsphere.files import check_writable, portable_name, whole_file


def test_writes_and_makes_the_folder(tmp_path):
    target = tmp_path / "new folder" / "ä.json"
    with whole_file(target) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"
    assert [path.name for path in target.parent.iterdir()] == ["ä.json"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interruption_leaves_the_old_file(tmp_path, error):
    target = tmp_path / "results.csv"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), whole_file(target) as file:
        file.write(b"ha")
        raise error
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no umask")
def test_is_as_readable_as_the_user_makes_files(tmp_path):
    with whole_file(tmp_path / "a") as file:
        file.write(b"")
    (tmp_path / "b").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)


def test_an_error_names_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, whole_file(tmp_path / "results.csv"):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(tmp_path / "results.csv")


def test_what_cannot_be_written_is_told_before(tmp_path, monkeypatch):
    check_writable(tmp_path / "new" / "newer" / "results.csv")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(NotADirectoryError) as caught:
        check_writable(tmp_path / "taken" / "results.csv")
    assert caught.value.filename == str(tmp_path / "taken")
    with pytest.raises(IsADirectoryError) as taken:
        check_writable(tmp_path)
    assert taken.value.filename == str(tmp_path)
    # Root may write anywhere, so the answer of the system is given here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="cannot be written"):
        check_writable(tmp_path / "new" / "results.csv")


def test_a_portable_name_keeps_all_that_windows_allows():
    assert portable_name("Ünïque 🎸 (1) [a]'b.wav") == "Ünïque 🎸 (1) [a]'b.wav"
    assert portable_name('what? "50 %": a\\b\n<2|*>.wav') == "what_ _50 %__ a_b__2___.wav"
