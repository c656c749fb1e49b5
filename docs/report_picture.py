"""Take the README's pictures of the demo's page: `make demo`, then `python docs/report_picture.py`.

Needs playwright and a Chromium: `pip install '.[dev]'`, and the machine's own, or one named by $CHROMIUM.
"""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "demo" / "results" / "report" / "index.html"
SIZE = {"width": 1200, "height": 1240}


def main() -> None:
    """Write docs/report-light.png and docs/report-dark.png."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport=SIZE, color_scheme=scheme)
            page.goto(PAGE.as_uri())
            page.wait_for_function("performance.getEntriesByName('loopsphere-ready').length")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            # Two inks and their mixtures: a palette halves the file and nobody sees it.
            picture.quantize(256).save(ROOT / "docs" / f"report-{scheme}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()
