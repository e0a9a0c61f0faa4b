"""A hook of MkDocs: takes the pages of the site from the whole checkout, not only from docs/.

A page has the place that its file has in the checkout, so that a relative link such as `../recipes/burst2vec/README.md`
leads to the same thing where the repository is shown and in the site. Besides the pages of the navigation, the site has
what they link to, such as tables of results, and nothing else.
"""

import re
import shutil
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
# The package as it is installed, made of links, for the reader of docstrings. mkdocs.yml names it.
PACKAGE = ROOT / "build" / "package" / "paravox"
LINK = re.compile(r"\]\(([^)\s#]+)")


def on_startup(**_: Any) -> None:
    shutil.rmtree(PACKAGE, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    for part in (*(ROOT / "paravox").iterdir(), ROOT / "modeling", ROOT / "trainers"):
        (PACKAGE / part.name).symlink_to(part)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The files of the theme, the pages of the navigation, and what is reached from these by links."""
    of_theme = [file for file in files if file.src_dir != config.docs_dir]
    pages: dict[str, File] = {}
    waiting = list(_places(config.nav))
    while waiting:
        name = waiting.pop()
        if name in pages or not (ROOT / name).is_file():  # MkDocs warns of what is missing
            continue
        pages[name] = _file(name, config)
        if name.endswith(".md"):
            for target in LINK.findall((ROOT / name).read_text(encoding="utf-8")):
                path = (ROOT / name).parent.joinpath(target).resolve()
                if "://" not in target and path.is_relative_to(ROOT):
                    waiting.append(path.relative_to(ROOT).as_posix())
    return Files([*of_theme, *pages.values()])


def on_serve(server: Any, **_: Any) -> Any:
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "recipes", "modeling", "paravox", "trainers"):
        server.watch(str(ROOT / name))
    return server


def _places(nav: Any) -> Any:
    """The files that a navigation names, at whatever depth."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _places(part)


def _file(name: str, config: MkDocsConfig) -> File:
    """A file of the checkout. The addresses leave out docs/, so that docs/index.md is the first page of the site."""
    address = File(name.removeprefix("docs/"), str(ROOT), config.site_dir, config.use_directory_urls).dest_uri
    return File(name, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=address)
