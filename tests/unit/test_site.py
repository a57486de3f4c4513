"""Hooks that build the site from the pages, without building it: `make site` does that strictly."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", DOCS / "site.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_markdown(site: ModuleType, text: str) -> str:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="how-to/some.md"))
    markdown: str = site.on_page_markdown(
        text, page=page, config=SimpleNamespace(repo_url="https://host/repo"), files=None
    )
    return markdown


def test_the_navigation_has_every_page_once(site: ModuleType) -> None:
    first, second, *sections = site.navigation((DOCS / "index.md").read_text())
    pages = [first, second, *(page for section in sections for page in next(iter(section.values())))]
    assert sorted(pages) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_a_page_that_the_index_does_not_list_is_told(site: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"does not list .*how-to/python.md"):
        site.navigation("**How to**\n- [resume](how-to/resume.md)\n")


def test_the_name_of_a_file_becomes_the_title_of_its_block(site: ModuleType) -> None:
    assert page_markdown(site, "```python train.py\n- x\n```") == '```python title="train.py"\n- x\n```'


def test_a_list_stands_apart_from_the_line_before_it(site: ModuleType) -> None:
    assert page_markdown(site, "**How to**\n- one\n- two\n  goes on\n- three") == (
        "**How to**\n\n- one\n- two\n  goes on\n- three"
    )


def test_a_link_that_leaves_the_pages_leads_into_the_repository(site: ModuleType) -> None:
    text = "[a](../../examples/12-no-file/README.md#x) [b](../../examples) [c](../tutorial.md) [d](resume.md)"
    assert page_markdown(site, text) == (
        "[a](https://host/repo/blob/main/examples/12-no-file/README.md#x) [b](https://host/repo/tree/main/examples)"
        " [c](../tutorial.md) [d](resume.md)"
    )
