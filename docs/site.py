"""Hooks of MkDocs (`mkdocs.yml`) that build a site from these pages, which are written for the repository."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
_FENCE = re.compile(r"^(\s*```)(\w+) (\S+)$")
_ITEM = re.compile(r"\s*([-*]|\d+\.) ")
_LINK = re.compile(r"\]\((\.\./[^)#\s]*)(#[^)\s]*)?\)")


def on_config(config: Any) -> Any:
    """The navigation is the list of index.md, so that a new page is entered once."""
    config.nav = navigation((DOCS / "index.md").read_text())
    return config


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Any) -> str:
    """A page as this Markdown processor wants it."""
    return "\n".join(_adapted(markdown.splitlines(), DOCS / page.file.src_uri, config.repo_url))


def navigation(index: str) -> list[Any]:
    """The sections of index.md with their pages. ValueError where a page is in none of them."""
    sections = {
        title: re.findall(r"^- \[[^\]]*\]\(([^)]+\.md)\)", text, re.MULTILINE)
        for title, text in re.findall(r"^\*\*(.+?)\*\*\n((?:- .*\n)+)", index, re.MULTILINE)
    }
    first = ["index.md", "tutorial.md"]
    listed = {*first, *(page for pages in sections.values() for page in pages)}
    missing = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - listed
    if missing:
        raise ValueError(f"docs/index.md does not list {', '.join(sorted(missing))}")
    return [*first, *({title: pages} for title, pages in sections.items())]


def _adapted(lines: list[str], path: Path, repository: str) -> Iterator[str]:
    inside, before = False, ""
    for line in lines:
        if line.lstrip().startswith("```"):
            inside = not inside
            line = _FENCE.sub(r'\1\2 title="\3"', line)
        elif not inside:
            if _ITEM.match(line) and before.strip() and not _ITEM.match(before) and not before.startswith(" "):
                yield ""  # a list needs an empty line before it
            line = _LINK.sub(lambda match: f"]({_target(match, path, repository)})", line)
        yield line
        before = line


def _target(match: re.Match[str], path: Path, repository: str) -> str:
    """A link that leaves the pages leads into the repository."""
    link, anchor = match.group(1), match.group(2) or ""
    target = Path(os.path.normpath(path.parent / link))
    if target.is_relative_to(DOCS):
        return f"{link}{anchor}"
    kind = "tree" if target.is_dir() else "blob"
    return f"{repository}/{kind}/main/{target.relative_to(DOCS.parent).as_posix()}{anchor}"
