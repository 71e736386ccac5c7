"""The pages lead to one another, and each can be found."""

import re
import unicodedata
from pathlib import Path

import pytest

from stacks.config import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def shown(page: Path) -> str:
    """The page without its blocks of code, in which brackets are no links."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as forges make them: lower case, words joined by hyphens, other signs left out."""
    headings = re.findall(r"^#+ (.*)$", shown(page), re.MULTILINE)
    plain = [unicodedata.normalize("NFC", heading).lower().replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


def links(page: Path) -> list[str]:
    return [link for link in LINK.findall(shown(page)) if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_tutorial_is_linked_from_the_readme() -> None:
    assert "docs/tutorial/production.md" in links(ROOT / "README.md")
