"""Sections that programs add to the card of a model that is there already."""

import re
import shutil
from pathlib import Path

from paravox.trainers.files import write_text

CARD = "README.md"
# What a card shows or refers to.
_BESIDE_A_CARD = ("figures", ".eval_results")
# Sections come before this one, which ends every card.
_LAST = "## Citation"


def copy_card(source: Path, target: Path, title: str, text: str) -> None:
    """Copies the card of a saved model with its figures, and adds a section, in the place of one of the same title.

    Args:
        source (`Path`): the folder of a model. Without a card there, as for a name on the Hub, the copy has none.
        target (`Path`): another folder.
        title (`str`): of the section, without `##`.
        text (`str`): of the section, in Markdown.
    """
    if not (source / CARD).is_file():
        return
    for name in _BESIDE_A_CARD:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, dirs_exist_ok=True)
    card = (source / CARD).read_text(encoding="utf-8")
    section = f"## {title}\n\n{text.strip()}\n\n"
    card = re.sub(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", "", card, flags=re.DOTALL | re.MULTILINE)
    before, last, after = card.partition(_LAST)
    write_text(target / CARD, before.rstrip("\n") + f"\n\n{section}{last}{after}".rstrip("\n") + "\n")
