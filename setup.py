"""Builds the package that setup.cfg describes."""

import re
from pathlib import Path

from setuptools import setup

readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
# A package index shows the README without the files that it links to: their names remain, without a dead link.
setup(long_description=re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", readme))
