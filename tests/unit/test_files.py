"""A file is whole or it is not there."""

import io
import os
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loopsphere.files import check_writable, fitting_name, portable_name, whole_file


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


needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither FIFOs nor devices")


@needs_posix
def test_a_fifo_is_written_through(tmp_path):
    fifo = tmp_path / "results.json"
    os.mkfifo(fifo)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(fifo.read_bytes)
        check_writable(fifo)
        with whole_file(fifo) as file, zipfile.ZipFile(file, "w") as archive:  # which seeks
            archive.writestr("part", b"whole")
        received = reading.result(timeout=10)
    with zipfile.ZipFile(io.BytesIO(received)) as archive:
        assert archive.read("part") == b"whole"
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@needs_posix
def test_a_fifo_gets_nothing_of_what_fails(tmp_path):
    fifo = tmp_path / "results.json"
    os.mkfifo(fifo)
    with pytest.raises(KeyboardInterrupt), whole_file(fifo) as file:
        file.write(b"ha")
        raise KeyboardInterrupt  # no reader has come, so opening it would wait for ever
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@needs_posix
def test_a_device_stays_a_device(tmp_path):
    device = tmp_path / "null"  # of our own making: a mistake must not cost the machine its /dev/null
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        device.write_bytes(b"")
    except OSError as error:
        pytest.skip(f"no device can be made here ({error.strerror})")
    check_writable(device)
    with whole_file(device) as file:
        file.write(b"gone")
    assert stat.S_ISCHR(device.stat().st_mode)
    assert device.read_bytes() == b""
    assert [path.name for path in tmp_path.iterdir()] == ["null"]


@needs_posix
def test_a_device_can_be_written_where_its_folder_cannot(tmp_path, monkeypatch):
    device = tmp_path / "fifo"
    os.mkfifo(device)
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) == device)
    check_writable(device)  # as an ordinary user writes to /dev/null, and not into /dev
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError) as caught:
        check_writable(device)
    assert caught.value.filename == str(device)


@pytest.fixture
def link(tmp_path):
    """A link `link.json` to `elsewhere/target.json`, which may not be there yet."""
    path = tmp_path / "link.json"
    try:
        path.symlink_to(Path("elsewhere", "target.json"))
    except OSError as error:
        pytest.skip(f"no link can be made here ({error.strerror})")
    return path


@pytest.mark.parametrize("is_dangling", [False, True])
def test_a_link_is_followed_and_stays(tmp_path, link, is_dangling):
    target = tmp_path / "elsewhere" / "target.json"
    target.parent.mkdir()
    if not is_dangling:
        target.write_bytes(b"old")
    check_writable(link)
    with whole_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["target.json"]


def test_an_interruption_leaves_what_a_link_leads_to(tmp_path, link):
    target = tmp_path / "elsewhere" / "target.json"
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), whole_file(link) as file:
        file.write(b"ha")
        raise KeyboardInterrupt
    assert link.is_symlink()
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["elsewhere", "link.json", "target.json"]


def test_the_folder_that_counts_is_the_one_a_link_leads_to(tmp_path, link):
    (tmp_path / "elsewhere").write_bytes(b"no folder")
    with pytest.raises(NotADirectoryError) as caught:
        check_writable(link)
    assert caught.value.filename == str(tmp_path / "elsewhere")


def test_a_link_to_itself_is_an_error(tmp_path):
    link = tmp_path / "round.json"
    try:
        link.symlink_to(link)
    except OSError as error:
        pytest.skip(f"no link can be made here ({error.strerror})")
    for write in (check_writable, lambda path: whole_file(path).__enter__()):
        with pytest.raises(OSError, match="symbolic links"):
            write(link)
    assert link.is_symlink()


@needs_posix
def test_what_was_said_before_on_standard_output_stays(tmp_path):
    place = tmp_path / "stdout"  # like /dev/stdout, which a mistake must not cost the machine
    place.symlink_to("/dev/fd/1")
    code = (
        "from loopsphere.files import check_writable, whole_file\n"
        f"print('said before'); check_writable({str(place)!r})\n"
        f"with whole_file({str(place)!r}) as file: file.write(b'whole\\n')\n"
        "print('said after')"
    )
    with (tmp_path / "out.txt").open("wb") as out:
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    assert (tmp_path / "out.txt").read_bytes() == piped == b"said before\nwhole\nsaid after\n"
    assert place.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.txt", "stdout"]


def test_a_name_as_long_as_names_may_be(tmp_path):
    target = tmp_path / ("n" * 250 + ".json")
    with whole_file(target) as file:
        file.write(b"whole")
    assert target.read_bytes() == b"whole"


@needs_posix
def test_a_full_device_is_named(tmp_path):
    full = tmp_path / "full"
    try:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        full.open("wb").close()
    except OSError as error:
        pytest.skip(f"no device can be made here ({error.strerror})")
    with pytest.raises(OSError, match="No space left") as caught, whole_file(full) as file:
        file.write(b"much")
    assert caught.value.filename == str(full)


def test_a_file_that_cannot_be_made_is_named_as_the_user_does(tmp_path):
    target = tmp_path / "results.json"
    with pytest.raises(OSError) as caught, whole_file(target) as file:
        (tmp_path / "results.json").mkdir()
        file.write(b"new")
    assert caught.value.filename == str(target)
    assert "part" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(
    ("name", "number", "fitting"),
    [
        ("kick.wav", "", "kick.wav"),
        ("kick.wav", " (2)", "kick (2).wav"),
        ("k" * 251 + ".wav", "", "k" * 251 + ".wav"),
        ("k" * 252 + ".wav", "", "k" * 251 + ".wav"),
        ("k" * 251 + ".wav", " (12)", "k" * 246 + " (12).wav"),
        ("ö" * 200 + ".flac", "", "ö" * 125 + ".flac"),
        ("🎸" * 200 + ".wav", " (2)", "🎸" * 61 + " (2).wav"),
        ("a." + "k" * 300, " (2)", "a." + "k" * 249 + " (2)"),
    ],
)
def test_a_name_is_shortened_by_bytes_and_keeps_its_extension(name, number, fitting):
    assert fitting_name(name, number) == fitting
    assert len(fitting.encode()) <= 255
