"""The site of the documentation builds without a warning, its links lead somewhere, and its reference can be read."""

import html
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
MISSING = [name for name in ("mkdocs", "material", "mkdocstrings") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"needs the extra docs: {', '.join(MISSING)} cannot be imported"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def article_of(page: Path) -> str:
    """The text of a page as a reader sees it, without its menus, on one line."""
    article = page.read_text().partition("<article")[2].partition("</article")[0]
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", article)).split())


def test_links_lead_to_files_and_headings(site):
    pages = {page: page.read_text() for page in site.rglob("*.html") if "results" not in page.name}
    followed = 0
    for page, text in pages.items():
        if page.name == "404.html":  # which is shown at any address, and links from the root
            continue
        for target in re.findall(r'<(?:a|img|link|script)\b[^>]*? (?:href|src)="?([^" >]+)', text):
            if re.match(r"[a-z]+:", target):
                continue
            address, _, anchor = html.unescape(target).partition("#")
            path = (page.parent / unquote(address.partition("?")[0])).resolve() if address else page
            path = path / "index.html" if path.is_dir() else path
            assert path.is_file(), f"{page.relative_to(site)} links to {target}"
            if anchor and path in pages:
                named = re.findall(r'\bid="?([^" >]+)', pages[path])
                assert unquote(anchor) in named, f"{page.relative_to(site)} links to {target}"
            followed += 1
    assert len(pages) >= 20 and followed > 1000


def test_pages_load_nothing_from_other_servers(site):
    for page in site.rglob("index.html"):
        loaded = re.findall(r"<(?:img|link|script|iframe)\b[^>]*?(?:href|src)=\"?(https?://[^\" >]+)", page.read_text())
        assert not loaded, f"{page.relative_to(site)} loads {loaded[0]}"


def test_the_site_shows_the_readmes_of_the_studies_and_what_they_link_to(site):
    study = article_of(site / "recipes" / "burst2vec" / "index.html")
    assert "Which significance test to trust" in study
    assert (site / "recipes/burst2vec/results/real_bursts.png").is_file()
    assert not (site / "recipes/burst2vec/train.py").exists()  # to which nothing links


def test_the_reference_can_be_read(site):
    texts = {page.parent.name: article_of(page) for page in (site / "api").rglob("index.html")}
    for name, text in texts.items():
        for left in ("[`", "*optional*", "defaults to", "field( default", ":::"):
            assert left not in text, f"{name} shows {left}"
    # A default of the signature, one that only the docstring has, an argument of two that share an entry, and a help.
    assert "projection_size ( int , default: 256 ) – width of the projected representation." in texts["models"]
    assert "batch_size ( optional int, 1 by default ) – how many windows" in texts["prediction"]
    assert "calibration ( optional dict ) – as in ModelWithEncoderConfig" in texts["models"]
    assert "Put clips of about one length into a batch, for little padding." in texts["trainers"]
    assert "It has one entry per task: a dict by label" in texts["prediction"]
