"""What the readers of emotion corpora share: finding files, emotion codes, the table of clips, and warnings."""

import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd
from datasets import Dataset, Features, Value

from paravox.corpora.faults import SHOWN_OFFENDERS, Faults
from paravox.modeling.audio import AUDIO_SUFFIXES
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.trainers.files import files_below

logger = logging.getLogger(__name__)

# How a column `sex` and the corpora write the sex of a speaker, in lower case.
SEXES = {"female": "female", "f": "female", "male": "male", "m": "male"}
NO_MAJORITY_CHOICES = ("drop", "other", "keep")


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a [`ConfigError`] that names the choices of an option if `value` is none of them."""
    if value not in choices:
        raise ConfigError(f"{option} {value!r}: use {', '.join(choices[:-1])} or {choices[-1]}")


def list_files(root: Path) -> list[Path]:
    """Lists all files below a folder and behind its links, sorted by path, without the `._*` files that macOS leaves.

    Raises:
        CorpusError: if a folder in it cannot be read, because clips would be missing without a word.
    """

    def unreadable(error: OSError) -> None:
        # The readers say what they look for in a folder that does not exist.
        if Path(error.filename or root) != root or not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise CorpusError(
                f"the folder {error.filename} cannot be read ({error.strerror}): correct its permissions or its link"
            ) from None

    return files_below(root, unreadable)


def list_audio(files: list[Path]) -> list[Path]:
    """Selects the recordings, by their suffix."""
    return [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]


def audio_by_name(faults: Faults, files: list[Path]) -> dict[str, Path]:
    """Maps names without suffix to recordings; two recordings of one name are a fault."""
    audio: dict[str, Path] = {}
    for path in list_audio(files):
        if path.stem in audio:
            faults.add("recording found twice", [path])
        audio[path.stem] = path
    return audio


def find_table(files: list[Path], names: tuple[str, ...]) -> Path | None:
    """Finds the one table that has one of these names (in lower case). The folder may hold copies of it.

    Returns:
        `Path`, or `None` if there is no such file.

    Raises:
        CorpusError: if two tables differ, as they do when the folder holds two releases.
    """
    tables = [path for path in files if path.name.lower() in names]
    try:
        contents = {path.read_bytes() for path in tables}
    except OSError as error:
        raise CorpusError(f"{error.filename} cannot be read ({error.strerror}): check its permissions") from None
    if len(contents) > 1:
        shown = ", ".join(str(path) for path in tables[:SHOWN_OFFENDERS])
        raise CorpusError(f"{len(tables)} tables with different contents ({shown}): give the folder of one release")
    return tables[0] if tables else None


def emotion_of_code(code: str, emotions: dict[str, str], no_majority: str) -> str | None:
    """Translates an emotion code.

    Args:
        code (`str`): the code in the corpus.
        emotions (`dict`): from code to emotion.
        no_majority (`str`): what becomes of any other code: `drop` returns `None`, for a clip to leave out; `other`
            returns `"other"`; `keep` returns the code itself.
    """
    if code in emotions:
        return emotions[code]
    return {"drop": None, "other": "other", "keep": code}[no_majority]


def clips_by_path(rows: list[dict[str, str | int | None]]) -> Dataset:
    """Makes a dataset of rows, sorted by `path`. All columns are text, except `position`, which is a number."""
    clips = pd.DataFrame(rows).sort_values("path")
    features = Features({name: Value("int64" if name == "position" else "string") for name in clips})
    return Dataset.from_pandas(clips, features=features, preserve_index=False)


def nothing_found(root: Path, wanted: str, advice: str) -> CorpusError:
    """Makes the error of a folder without a single clip: what was looked for, what was found and what to do."""
    entries = sorted(path.name for path in root.iterdir()) if root.is_dir() else ["no such folder"]
    found = ", ".join(entries[:SHOWN_OFFENDERS]) or "nothing"
    more = f" and {len(entries) - SHOWN_OFFENDERS} more" if len(entries) > SHOWN_OFFENDERS else ""
    return CorpusError(f"{root} has no {wanted} (found {found}{more}): {advice}")


def warn_with_examples(corpus: str, what: str, examples: Collection[str]) -> None:
    """Warns of something that is no fault, with its count and the first three examples; does nothing without any."""
    if examples:
        shown = ", ".join(sorted(examples)[:SHOWN_OFFENDERS])
        logger.warning("%s: %s: %s (%s)", corpus, what, f"{len(examples):,}", shown)


def warn_unless_complete(corpus: str, clips: int, expected: int) -> None:
    """Warns if a corpus has another number of clips than in the paper."""
    if clips != expected:
        logger.warning(
            "%s: %s clips instead of the paper's %s: results cannot be compared directly with the paper's",
            *(corpus, f"{clips:,}", f"{expected:,}"),
        )
