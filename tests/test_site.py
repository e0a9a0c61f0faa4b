"""The site of the documentation: every page is in its navigation, and every public name in its API reference."""

import re

import pytest
import yaml
from documents import ROOT

import paravox


def places(nav):
    """The files that a navigation names, at whatever depth."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [place for part in parts for place in places(part)]


SITE = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
PAGES = places(SITE["nav"])


def test_every_page_is_in_the_navigation_once():
    written = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert {place for place in PAGES if place.startswith("docs/")} == written
    assert len(PAGES) == len(set(PAGES)) and PAGES[0] == "docs/index.md"
    assert {"recipes/burst2vec/README.md", "recipes/prefinetuning/README.md", "CHANGELOG.md"} <= set(PAGES)


@pytest.mark.parametrize("place", PAGES)
def test_every_entry_of_the_navigation_is_a_file(place):
    assert (ROOT / place).is_file(), f"mkdocs.yml names {place}"


def test_every_public_name_is_in_the_reference_once():
    pages = [path.read_text() for path in (ROOT / "docs" / "api").glob("*.md")]
    described = re.findall(r"^::: (\S+)$", "\n".join(pages), re.MULTILINE)
    public = {f"paravox.{name}" for name in paravox.__all__} - {"paravox.__version__"}
    metrics = {path.stem for path in (ROOT / "trainers" / "metrics").glob("*/*.py")} - {"__init__"}
    assert public <= set(described) and len(described) == len(set(described))
    assert {name.split(".")[3] for name in described if name.startswith("paravox.trainers.metrics.")} == metrics
