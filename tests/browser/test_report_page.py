"""The report in a real Chromium, opened from disk as a user opens it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from loopsphere.report import LoopColumns, LoopDetail, LoopGroup, ReportData, write_page
from loopsphere.report.media import OPUS_RATE, oddness_base64, opus_base64, peaks_base64, spectrum_base64

N_CARDS = 4
DURATION_S = 2.0


def tone(hz: float, rate: int) -> np.ndarray:
    return (0.2 * np.sin(2 * np.pi * hz * np.arange(int(DURATION_S * rate)) / rate)).astype(np.float32)


@cache
def sound(i: int) -> str:
    return opus_base64(tone(220 * (i + 1), OPUS_RATE))


def detail(near: list[int]) -> LoopDetail:
    rng = np.random.default_rng(0)
    spectrum, shape = spectrum_base64(rng.normal(-40, 10, (100, 128)).astype(np.float32), 64, 240)
    heat, heat_shape = oddness_base64(rng.uniform(0, 2, (16, 40)), 160)
    return LoopDetail(
        peaks=peaks_base64(tone(100, 8000), 300),
        spectrum=spectrum,
        spectrum_shape=shape,
        curve=oddness_base64(rng.uniform(0, 2, 40), 160)[0],
        heat=heat,
        heat_shape=(heat_shape[0], heat_shape[1]),
        ranges=[[0.5, 0.9, 2000.0, 8000.0, 1.7]],
        reasons=["brighter than 98 % of your loops"],
        faults=["clipped for 1.2 % of its length"],
        explained=True,
        neighbours=[(i, 0.25) for i in near],
    )


def collection(n_loops: int, **changes: Any) -> ReportData:
    """A record of any size; the first two loops are carried, the others lie beside the page."""
    rng = np.random.default_rng(0)
    radius, angle = rng.uniform(0, 0.95, n_loops), rng.uniform(0, 6.28, n_loops)
    columns = LoopColumns(
        path=[f"{('drums', 'bässe 🎸')[i % 2]}/loop_{i:05d} #1.wav" for i in range(n_loops)],
        duration_s=[DURATION_S] * n_loops,
        score=np.sort(rng.gamma(2, 1, n_loops))[::-1].tolist(),
        p=((np.arange(n_loops) + 1) / (n_loops + 1)).tolist(),
        x=(radius * np.cos(angle)).tolist(),
        y=(radius * np.sin(angle)).tolist(),
    )
    n_odd = max(N_CARDS, n_loops // 20)
    fields: dict[str, Any] = {
        "title": "loops",
        "alpha": 0.05,
        "threshold": columns.score[n_odd - 1],
        "loops": columns,
        "root_url": "../loops/",
        "map_caption": "Alike loops lie near each other.",
        "audio": {i: sound(i) for i in range(2)},
        "details": {i: detail([n_loops - 1 - k for k in range(5)]) for i in range(N_CARDS)},
        "typical": [n_loops - 1],
        "modes": [LoopGroup("12 loops like", [n_loops - 1]), LoopGroup("8 loops like", [n_loops - 2])],
        "usual": [("Tempo", "84 to 96 BPM")],
        "duplicates": [LoopGroup("the same samples", [5, 6])],
        "skipped": [("half a file.wav", "truncated")],
        "notes": ["Twenty loops are few."],
        "facts": [("Encoder", "bundled"), ("Seed", "0")],
    }
    return ReportData(**{**fields, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with loops beside the place of the page; its name needs quoting."""
    root = tmp_path / "Schöne #Loops"
    for i in range(20):
        path = root / "loops" / f"{('drums', 'bässe 🎸')[i % 2]}/loop_{i:05d} #1.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, tone(110 * (i + 1), 16_000), 16_000)
    return root


@pytest.fixture
def tab(chromium: Any) -> Iterator[Any]:
    """A tab that fails the test on any console message or error."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url) if request.url.startswith("http") else None)
    yield page
    assert said == []
    context.close()


@pytest.fixture
def small(tab: Any, folder: Path) -> Any:
    tab.goto(write_page(folder / "report", collection(20)).as_uri())
    return tab


def odd_count(tab: Any) -> int:
    shown = tab.inner_text("#n-odd")
    return 0 if shown == "None" else int(shown.replace(",", ""))


def is_playing(tab: Any) -> bool:
    return bool(tab.evaluate("!audio.paused && audio.readyState >= 2"))


def test_carried_and_linked_loops_play(small: Any) -> None:
    """The first is in the page, the third is a file with a space, a # and an emoji in its path."""
    for i in (0, 3):
        small.click(f'#list [data-play="{i}"]')
        small.wait_for_function("!audio.paused && audio.currentTime > 0.05")
        assert small.get_attribute(f'#list [data-play="{i}"]', "aria-pressed") == "true"
        source = small.evaluate("audio.src")
        assert source.startswith("data:audio/ogg" if i == 0 else "file:///")
    assert abs(small.evaluate("audio.duration") - DURATION_S) < 0.1
    small.click('#list [data-play="3"]')
    assert not is_playing(small)


def test_a_neighbour_plays_and_a_click_into_the_wave_seeks(small: Any) -> None:
    small.click('.near [data-play="19"] >> nth=0')
    small.wait_for_function("!audio.paused && state.playing === 19")
    box = small.locator(".figure").first.bounding_box()
    small.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 20)
    small.wait_for_function("state.playing === 0 && audio.currentTime > 1.4")


def test_a_loop_that_is_gone_says_so(chromium: Any, folder: Path) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(write_page(folder / "report", collection(20)).as_uri())
    (folder / "loops" / "drums" / "loop_00002 #1.wav").unlink()
    page.click('#list [data-play="2"]')
    page.wait_for_selector("#toast:not([hidden])")
    assert "Cannot play loop_00002 #1.wav" in page.inner_text("#toast")
    context.close()


def test_the_threshold_is_dragged_and_counts_follow(small: Any) -> None:
    assert odd_count(small) == N_CARDS
    handle = small.locator("#threshold").bounding_box()
    strip = small.locator("#strip").bounding_box()
    small.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + 60)
    small.mouse.down()
    small.mouse.move(strip["x"] + 5, handle["y"] + 60, steps=5)
    small.mouse.up()
    small.wait_for_function("state.visible.length === 20")
    assert odd_count(small) == 20
    assert small.inner_text("#list-count") == "20 loops, the oddest first"
    small.click("#threshold-reset")
    assert odd_count(small) == N_CARDS


def test_the_bar_that_the_threshold_goes_through_shows_its_odd_loops(tab: Any, folder: Path) -> None:
    """Three loops share a bar, the two oddest of which are odd, beyond the middle of the bar."""
    scores = [9.0, 5.002, 5.001, 5.0, *np.linspace(1, 0, 16)]
    data = collection(20, details={})
    data = replace(data, loops=replace(data.loops, score=list(map(float, scores))), threshold=5.001)
    tab.goto(write_page(folder / "report", data).as_uri())
    inks = tab.evaluate("[ink.odd, ink.bar].map(rgb)")
    bar = tab.evaluate(
        """() => {
          const bin = Math.floor(share(5.001) * BINS), canvas = $("histogram");
          if (Math.floor(share(5) * BINS) !== bin || counts[bin] !== 3) return null;
          const x = Math.round((bin + 0.5) / BINS * canvas.width);
          const column = canvas.getContext("2d").getImageData(x, 0, 1, canvas.height).data;
          return Array.from({ length: canvas.height }, (_, y) => Array.from(column.slice(4 * y, 4 * y + 4)));
        }"""
    )
    drawn = [tuple(pixel[:3]) for pixel in bar if pixel[3] == 255]
    odd, usual = (drawn.count(tuple(ink)) for ink in inks)
    assert odd / (odd + usual) == pytest.approx(2 / 3, abs=0.05)
    assert drawn[-1] == tuple(inks[0])


def test_loops_are_told_by_p_which_all_detectors_share(tab: Any, folder: Path) -> None:
    """A score of Deep SAD has ten digits and means nothing to people."""
    data = collection(20)
    loops = replace(data.loops, score=[8.2e9, 4.5e8, *data.loops.score[2:]], p=[0.00005, *data.loops.p[1:]])
    tab.goto(write_page(folder / "report", replace(data, loops=loops)).as_uri())
    assert "p 0.00005" in tab.inner_text('#list [data-loop="0"] .measure')
    assert tab.inner_text("#threshold-value") == f"{N_CARDS} loops, p {N_CARDS / 21:.3f} or less"
    assert "p 0.286" in tab.evaluate("reveal(5).innerText")
    assert "000,000" not in tab.inner_text("body")


def test_the_threshold_moves_by_keys_one_loop_at_a_time(small: Any) -> None:
    small.focus("#threshold")
    small.keyboard.press("ArrowLeft")
    assert odd_count(small) == N_CARDS + 1
    assert f"{N_CARDS + 1} loops odd" in small.get_attribute("#threshold", "aria-valuetext")
    for _ in range(3):
        small.keyboard.press("ArrowRight")
    assert odd_count(small) == N_CARDS - 2
    small.keyboard.press("End")
    assert odd_count(small) == 0
    assert small.inner_text("#empty-text").startswith("Nothing is odd at this threshold.")
    assert small.inner_text("#headline") == "None of 20 loops is odd"


def test_the_list_is_filtered(small: Any) -> None:
    small.keyboard.press("/")
    small.keyboard.type("00001")
    assert small.inner_text("#list-count") == "1 loop"
    small.fill("#filter", "no such loop")
    assert small.inner_text("#empty-text") == "No odd loop is called that or lies there."
    small.click("#empty-clear")
    assert not small.is_visible("#empty")
    small.fill("#filter", "")
    small.select_option("#folder", "drums")
    small.check("#show-all")
    assert small.inner_text("#list-count") == "10 loops, the oddest first"


def test_arrows_and_space(small: Any) -> None:
    small.keyboard.press("ArrowDown")
    small.keyboard.press("Space")
    small.wait_for_function("!audio.paused && state.playing === 0")
    small.keyboard.press("ArrowDown")
    small.wait_for_function("!audio.paused && state.playing === 1 && audio.currentTime > 0.1")
    assert small.evaluate("document.activeElement.dataset.play") == "1"
    before = small.evaluate("audio.currentTime")
    small.keyboard.press("ArrowRight")
    assert small.evaluate("audio.currentTime") >= before + 0.4
    small.keyboard.press("Space")
    small.wait_for_function("audio.paused")


def test_help_and_theme(small: Any) -> None:
    small.keyboard.press("?")
    assert small.is_visible("#help")
    small.keyboard.press("Escape")
    assert not small.is_visible("#help")
    before = small.evaluate("getComputedStyle(document.body).backgroundColor")
    small.keyboard.press("d")
    assert small.evaluate("getComputedStyle(document.body).backgroundColor") != before
    small.emulate_media(color_scheme="dark")
    assert small.evaluate("document.documentElement.dataset.theme") == "dark"


def test_the_map_selects_plays_and_is_walked_by_keys(small: Any) -> None:
    place = "[(loops.x[7] + 1) / 2, (1 - loops.y[7]) / 2]"
    x, y = small.evaluate(place)
    box = small.locator("#map").bounding_box()
    small.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    small.wait_for_function("state.playing === 7 && !audio.paused")
    assert small.is_checked("#show-all")
    assert small.get_attribute('#list [data-loop="7"]', "class") == "row is-selected"
    # Now that the page was clicked, hovering plays.
    x, y = small.evaluate(place.replace("7", "4"))
    small.locator("#map").scroll_into_view_if_needed()
    box = small.locator("#map").bounding_box()
    small.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=3)
    small.wait_for_function("state.playing === 4")
    assert "loop_00004" in small.inner_text("#map-tip")
    small.focus("#map")
    small.keyboard.press("ArrowLeft")
    assert small.evaluate("state.selected") != 7


def test_everything_is_told(small: Any) -> None:
    card = small.inner_text('#list [data-loop="0"]')
    assert "Clipped for 1.2 % of its length; brighter than 98 % of your loops." in card
    assert "Oddest at 0.5 to 0.9 s (2.0 kHz to 8.0 kHz)." in card
    text = small.inner_text("main")
    for part in ("Most typical", "84 to 96 BPM", "12 loops like", "The same samples", "truncated", "bundled"):
        assert part in text
    assert "Twenty loops are few." in text


def test_no_card_denies_its_own_fault(tab: Any, folder: Path) -> None:
    """A gap is a moment, though the curve may not know of it."""
    gap, bright = "silent for 2.70 s in between, from 1.20 s on", "brighter than 98 % of your loops"
    details = {
        0: replace(detail([19]), ranges=[], reasons=[gap], faults=[gap]),
        1: replace(detail([19]), ranges=[], reasons=[bright], faults=[]),
    }
    tab.goto(write_page(folder / "report", collection(20, details=details)).as_uri())
    first, second = (tab.inner_text(f'#list [data-loop="{i}"]') for i in (0, 1))
    assert "Silent for 2.70 s in between, from 1.20 s on." in first
    assert "No moment of it" not in first
    assert "No moment of it is odd by itself." in second


def test_every_control_has_a_name(small: Any) -> None:
    without = small.evaluate(
        """() => [...document.querySelectorAll("button, [role=slider], [role=application], [role=img]")]
        .filter((each) => !(each.getAttribute("aria-label") || each.textContent.trim())).length"""
    )
    assert without == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_whole(chromium: Any, folder: Path, scheme: str) -> None:
    context = chromium.new_context(
        viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True
    )
    page = context.new_page()
    page.goto(write_page(folder / "report", collection(20)).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    too_small = page.evaluate(
        """() => [...document.querySelectorAll("main p, main span, main dd, main button")]
        .filter((each) => each.offsetParent && parseFloat(getComputedStyle(each).fontSize) < 12).length"""
    )
    assert too_small == 0
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    context.close()


def test_nothing_at_all_is_shown_too(tab: Any, folder: Path) -> None:
    data = collection(20, threshold=None, details={}, audio={}, typical=[], modes=[], usual=[], duplicates=[])
    tab.goto(write_page(folder / "report", data).as_uri())
    assert odd_count(tab) == 0
    assert "too few loops to promise 5 %" in tab.inner_text("#sub")
    assert not tab.is_visible("#normal")


def test_twenty_thousand_loops_are_usable(tab: Any, folder: Path) -> None:
    path = write_page(folder / "report", collection(20_000))
    assert path.stat().st_size < 6e6
    tab.goto(path.as_uri())
    ready_ms = tab.evaluate("performance.getEntriesByName('loopsphere-ready')[0].startTime")
    assert ready_ms < 4000, f"interactive after {ready_ms:.0f} ms"
    assert odd_count(tab) == 1000
    tab.check("#show-all")
    assert tab.inner_text("#list-count") == "20,000 loops, the oddest first"
    tab.evaluate("window.scrollTo(0, document.querySelector('#list').offsetHeight / 2)")
    tab.wait_for_function(
        "[...document.querySelectorAll('#list [data-loop]')].some((e) => +e.dataset.loop > 8000)"
    )
    assert tab.evaluate("document.querySelectorAll('#list [data-loop]').length") < 600
    # With a quarter of the loops odd; the quickest of ten, as other work on the machine only slows it.
    step_ms = tab.evaluate(
        """() => {
          const taken = [];
          for (let k = 0; k < 10; k++) {
            const start = performance.now();
            setThreshold(scores[5000]);
            refreshList(); paintMap();
            taken.push(performance.now() - start);
          }
          return Math.min(...taken);
        }"""
    )
    assert step_ms < 250, f"one step of a drag takes {step_ms:.0f} ms"
    print(f"20,000 loops: interactive after {ready_ms:.0f} ms, a drag's step {step_ms:.0f} ms")


def test_sound_in_the_page_is_opus() -> None:
    assert base64.b64decode(collection(20).audio[0]).startswith(b"OggS")
