"""What a Python user meets: the names of the package, and what the answers can do."""

from __future__ import annotations

import inspect
import json
import pkgutil
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import loopsphere as ls
from loopsphere.audio import load_clip
from loopsphere.cli.commands import app
from loopsphere.report import moments as locating
from loopsphere.verbs import scan as scan_module

FAST = "mahalanobis"
VERBS = ("duplicates", "embed", "explain_loop", "fit", "scan", "score", "similar")
ELSEWHERE = {
    # In Python these are methods of the answer, or a loop over it.
    *("copy_to", "json", "labels", "link_to", "output", "out", "playlist", "report", "strict", "top"),
    *("engine", "address", "no_library"),
}


@pytest.fixture(scope="module")
def scan(collection: Path) -> ls.Scan:
    return ls.scan(collection, detector=FAST, alpha=0.1, device="cpu")


def test_a_notebook_completes_the_names_of_the_package() -> None:
    assert set(dir(ls)) == {*ls.__all__, "__doc__", "__version__"}
    assert set(VERBS) < set(ls.__all__)
    assert ls.__version__ == metadata.version("loopsphere")
    with pytest.raises(AttributeError, match="no attribute 'scam'"):
        _ = ls.scam


def test_no_module_takes_the_name_of_a_verb() -> None:
    """Importing `loopsphere.x` sets `loopsphere.x` to the module, in the place of a function of that name."""
    modules = {module.name for module in pkgutil.iter_modules(ls.__path__)}
    assert not modules & set(ls.__all__)


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_a_numpydoc_of_all_its_parameters(verb: str) -> None:
    function = getattr(ls, verb)
    doc = inspect.getdoc(function)
    assert doc is not None and "Parameters\n---" in doc and "Returns\n---" in doc and "Raises\n---" in doc
    described = doc[doc.index("Parameters") : doc.index("Returns")]
    for name in inspect.signature(function).parameters:
        assert name in described, name


@pytest.mark.parametrize("command", VERBS)
def test_what_a_command_can_do_a_verb_can(command: str) -> None:
    offered = get_command(app).commands[command.removesuffix("_loop")]  # type: ignore[attr-defined]
    options = {option.name for option in offered.params}
    parameters = set(inspect.signature(getattr(ls, command)).parameters)
    assert options - parameters - ELSEWHERE == set()


def test_a_scan_is_a_sequence_of_loops_with_a_short_repr(scan: ls.Scan) -> None:
    assert len(scan) == len(scan.loops) == len(scan.embedded) == 36
    assert list(scan) == list(scan.loops)
    assert [loop for loop in scan if loop.is_odd] == list(scan.odd)
    assert repr(scan) == (
        "Scan(n_loops=36, n_odd=3, alpha=0.1, detector='mahalanobis', encoder='bundled', n_skipped=0)"
    )
    assert (scan.settings.device, scan.settings.seed) == ("cpu", 0)


def test_its_frame_has_the_reasons(scan: ls.Scan) -> None:
    pytest.importorskip("pandas")
    frame = scan.to_frame()
    assert frame["path"].tolist() == [loop.path for loop in scan]
    why = {of.path: "; ".join(reason.text for reason in of.reasons) for of in scan.explanations}
    assert why and frame["reasons"].tolist() == [why.get(path, "") for path in frame["path"]]


def test_its_record_is_the_answer_alone(scan: ls.Scan, tmp_path: Path) -> None:
    table, record = scan.write_tables(tmp_path)
    assert json.loads(record.read_text("utf-8")) == json.loads(json.dumps(scan.to_dict()))
    assert "embedded" not in scan.to_dict() and "settings" not in scan.to_dict()
    assert len(table.read_text("utf-8").splitlines()) == 37


def test_page_and_labels_look_once_where_loops_are_odd(
    scan: ls.Scan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def watched(*arguments: object, **named: object) -> object:
        looked.append(arguments)
        return locating.locate_odd(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(scan_module, "locate_odd", watched)
    fresh = replace(scan)
    page, tracks = fresh.write_report(tmp_path / "report"), fresh.write_labels(tmp_path / "labels")
    assert len(looked) == 1
    assert page.read_text("utf-8").startswith("<!")
    assert tracks.paths and not tracks.failed


def test_the_odd_loops_go_where_a_producer_wants_them(scan: ls.Scan, tmp_path: Path) -> None:
    scan.write_playlist(tmp_path / "odd.m3u8")
    assert (tmp_path / "odd.m3u8").read_text("utf-8").count("#EXTINF") == 3
    copies, links = scan.copy_odd(tmp_path / "copies"), scan.link_odd(tmp_path / "links")
    for placed in (copies, links):
        names = [Path(path).read_bytes() for path in placed.paths]
        assert names == [Path(loop.path).read_bytes() for loop in scan.odd]


def test_a_notebook_shows_a_table_and_plays_what_lies_below_it(
    scan: ls.Scan, collection: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection)
    html = scan._repr_html_()
    assert html.count("<tr>") == 21 and "and 16 more" in html
    relative = Path(scan.loops[0].path).relative_to(collection).as_posix()
    assert f'<audio controls preload="none" src="{relative}">' in html
    monkeypatch.chdir(collection.parent)
    assert "<audio" in scan._repr_html_() and "Sch%C3%B6ne%20Loops" in scan._repr_html_()
    (collection.parent / "notebooks").mkdir()
    monkeypatch.chdir(collection.parent / "notebooks")
    assert "<audio" not in scan._repr_html_()


def test_duplicates_need_no_network_and_name_what_was_skipped(collection: Path, tmp_path: Path) -> None:
    first = sorted((collection / "drums").rglob("*.wav"))[0]
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(first.read_bytes())
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = ls.duplicates(tmp_path)
    assert list(found) == [(str(tmp_path / "a.wav"), str(tmp_path / "b.wav"))] and len(found) == 1
    assert [Path(file.path).name for file in found.skipped] == ["broken.wav"]
    assert found.to_dict()["skipped"][0]["path"].endswith("broken.wav")
    assert (
        "n_loops=2, n_groups=1, n_superfluous=1" in repr(found) and "the same samples" in found._repr_html_()
    )


@pytest.mark.parametrize("waveforms", [np.zeros(8_000, np.float32), [np.zeros(8_000, np.float32)]])
def test_embed_says_that_it_takes_no_waveforms(waveforms: object) -> None:
    with pytest.raises(TypeError, match=r"files and folders, not waveforms.*load_encoder"):
        ls.embed(waveforms)  # type: ignore[arg-type]


def test_waveforms_at_hand_are_embedded_as_their_files_are(scan: ls.Scan) -> None:
    path = scan.embedded.paths[0]
    encoder = ls.load_encoder("bundled", device="cpu")
    waveform = load_clip(path, encoder.mel.sample_rate).waveform
    np.testing.assert_allclose(encoder.embed([waveform])[0], scan.embedded.embedding[0], atol=1e-6)
