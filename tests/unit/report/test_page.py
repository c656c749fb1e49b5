"""The page as text: safe data, legible colours, and pictures that hold what was put in."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import soundfile as sf

from loopsphere.report import LoopColumns, LoopGroup, ReportData, page_html, write_page
from loopsphere.report.media import (
    OPUS_RATE,
    oddness_base64,
    opus_base64,
    peaks_base64,
    spectrum_base64,
)

NASTY = "</script><script>alert(1)</script><!-- \u2028 'ä\" 🎸 & %2e.wav"


def report(**changes) -> ReportData:
    columns = LoopColumns([NASTY, "b/2.wav"], [2.0, 1.0], [3.0, 1.0], [0.01, 0.5], [0.1, -0.5], [0.0, 0.9])
    fields = {"title": NASTY, "alpha": 0.05, "threshold": 2.0, "loops": columns}
    return ReportData(**{**fields, "root_url": "../", "map_caption": "", **changes})


class Outline(HTMLParser):
    """Collects tags, ids and the text of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data) -> None:
        if self.scripts and self.lasttag == "script":
            self.scripts[-1] += data


def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    return found


def test_no_name_breaks_out_of_the_data() -> None:
    html = page_html(report(skipped=[(NASTY, "broken")], duplicates=[LoopGroup(NASTY, [0])]))
    found = outline(html)
    assert [dict(attributes).get("type") for tag, attributes in found.tags if tag == "script"] == [
        "application/json", None,
    ]  # fmt: skip
    record = json.loads(found.scripts[0])
    assert record["loops"]["path"][0] == NASTY
    assert record["skipped"] == [[NASTY, "broken"]]


def test_the_page_asks_no_network_for_anything(tmp_path) -> None:
    path = write_page(tmp_path / "new folder", report())
    html = path.read_text(encoding="utf-8")
    assert path.name == "index.html"
    assert "{{" not in html
    assert not re.search(r"https?://|@import|url\(|fetch\(|XMLHttpRequest|import\(", html)
    linked = [a[key] for _, a in outline(html).tags for key in ("src", "href") if a.get(key)]
    assert set(linked) == {"data:,", "#loops"}


def test_what_scripts_look_up_is_there() -> None:
    html = page_html(report())
    ids = [attributes["id"] for _, attributes in outline(html).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    script = files("loopsphere.report").joinpath("page.js").read_text(encoding="utf-8")
    assert set(re.findall(r'\$\("([\w-]+)"\)', script)) <= set(ids)


def test_everything_that_is_used_has_a_name() -> None:
    """Buttons have text, fields a label, drawings a role and a label or are hidden."""
    html = page_html(report())
    for tag, attributes in outline(html).tags:
        if tag == "canvas":
            assert attributes.get("aria-hidden") == "true" or attributes.get("aria-label")
        if attributes.get("role") in ("slider", "application", "img"):
            assert attributes["aria-label"]
    for field in ("filter", "folder", "show-all", "hover-plays", "looping"):
        assert re.search(rf'<label[^>]*>(?:(?!</label>).)*id="{field}"', html, re.DOTALL)


def test_numbers_that_json_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        page_html(report(threshold=float("inf")))


def _luminance(colour: str) -> float:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _contrast(first: str, second: str) -> float:
    low, high = sorted((_luminance(first), _luminance(second)))
    return (high + 0.05) / (low + 0.05)


def _themes() -> dict[str, dict[str, str]]:
    css = files("loopsphere.report").joinpath("page.css").read_text(encoding="utf-8")
    blocks = re.findall(r'^:root(\[data-theme="dark"\])? \{(.*?)^\}', css, re.DOTALL | re.MULTILINE)
    return {
        "dark" if dark else "light": dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        for dark, block in blocks
        if "--paper:" in block
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_legible(theme) -> None:
    """WCAG 2.2 asks for 4.5 of text and 3 of what is drawn or focused."""
    colours = _themes()[theme]
    for ground in ("paper", "sheet"):
        for text in ("ink", "soft", "odd"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
        assert _contrast(colours["focus"], colours[ground]) >= 3
    assert _contrast(colours["on-odd"], colours["odd"]) >= 4.5


def test_opus_is_what_was_put_in() -> None:
    time = np.arange(OPUS_RATE) / OPUS_RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    decoded, rate = sf.read(io.BytesIO(base64.b64decode(opus_base64(tone))))
    assert (rate, len(decoded)) == (OPUS_RATE, len(tone))
    assert np.corrcoef(decoded, tone)[0, 1] > 0.99


@pytest.mark.parametrize("n_samples", [100, 5000])
def test_peaks_are_those_of_the_wave(n_samples) -> None:
    waveform = np.linspace(-0.5, 0.25, n_samples, dtype=np.float32)
    peaks = np.frombuffer(base64.b64decode(peaks_base64(waveform, 300)), np.int8).reshape(300, 2)
    assert peaks.min() == -127
    assert abs(peaks.max() - 64) <= 1
    assert (np.diff(peaks.astype(int), axis=0) >= 0).all()


def test_pictures_are_small_and_the_right_way_up() -> None:
    log_mel = np.full((1000, 128), -60.0, dtype=np.float32)
    log_mel[500:, :64] = 0.0
    text, shape = spectrum_base64(log_mel, 64, 240)
    picture = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
    assert shape == (64, 240)
    assert (picture[:32, 121:] == 255).all()
    assert (picture[32:] == picture[:, :119][0, 0]).all()
    _, shape = spectrum_base64(log_mel[:3], 64, 240)
    assert shape == (64, 3)


def test_a_short_peak_of_oddness_survives() -> None:
    heat = np.zeros((16, 4000))
    heat[3, 1234] = 1.5
    text, shape = oddness_base64(heat, 160)
    found = np.frombuffer(base64.b64decode(text), np.uint8).reshape(shape)
    assert shape == (16, 160)
    assert np.argwhere(found).tolist() == [[3, 1234 * 160 // 4000]]
    assert found.max() == 96
