"""What the site takes from the rest of the repository: README, benchmarks and the options of the commands.

MkDocs calls these functions; see `hooks` in mkdocs.yml. Pages outside docs/ become pages of the site where
they are listed in `_PAGES`, and links to them are rewritten. Links to anything else in the repository, such
as source files, become plain text, because nobody knows where the repository is hosted.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
_PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "src/loopsphere/weights/README.md": "model-card.md",
    **{
        path.relative_to(ROOT).as_posix(): path.relative_to(ROOT).as_posix().replace("README.md", "index.md")
        for path in sorted((ROOT / "benchmarks").rglob("*.md"))
    },
}
"""By place in the repository: the page of the site."""
_SOURCES = {page: source for source, page in _PAGES.items()}
_OPTIONS = "<!-- options of all commands -->"
_LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")
_IMAGE = re.compile(r'(src|srcset)="docs/([^"]+)"')


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/."""
    for source, page in _PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Rewrite links, and put the commands' options where they belong."""
    here = page.file.src_uri
    source = _SOURCES.get(here, f"docs/{here}")
    text = _LINK.sub(lambda found: _linked(found, source, here), markdown)
    text = _IMAGE.sub(r'\1="\2"', text) if here in _SOURCES else text
    return text.replace(_OPTIONS, _options()) if _OPTIONS in text else text


def _linked(found: re.Match[str], source: str, here: str) -> str:
    words, target, anchor = found[1], found[2], found[3] or ""
    if "://" in target or target.startswith("mailto:"):
        return found[0]
    place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if (ROOT / place).is_dir() and f"{place}/README.md" in _PAGES:
        place += "/README.md"
    if place in _PAGES:
        page = _PAGES[place]
    elif place.startswith("docs/"):
        page = place.removeprefix("docs/")
    else:
        return words
    return f"[{words}]({os.path.relpath(page, posixpath.dirname(here) or '.')}{anchor})"


def _options() -> str:
    import typer
    from typer.cli import get_docs_for_click

    from loopsphere.cli.commands import app

    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="loopsphere")
    text = get_docs_for_click(obj=command, ctx=context, name="loopsphere")
    return text[text.index("\n## ") :]  # the list before it repeats the page of commands, cut short
