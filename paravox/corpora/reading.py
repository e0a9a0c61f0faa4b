"""What the readers of the emotion corpora share: finding files, codes without a majority, the table of clips, warnings."""

import logging
import os
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import soundfile
from datasets import Dataset, Features, Value

from paravox.corpora.faults import SHOWN_OFFENDERS, Faults
from paravox.modeling.errors import ConfigError, CorpusError

logger = logging.getLogger(__name__)

# Headerless .raw has no rate, so soundfile opens it only when told one.
AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} - {".raw"}
AUDIO_SUFFIXES |= {".aif", ".oga", ".opus", ".sph"}
NO_MAJORITY_CHOICES = ("drop", "other", "keep")


def check_choice(setting: str, value: str, choices: tuple[str, ...]) -> None:
    """Raises a [`ConfigError`] that names the choices if `value` is none of them."""
    if value not in choices:
        raise ConfigError(f"{setting} {value!r}: use {', '.join(choices[:-1])} or {choices[-1]}")


def list_files(root: Path) -> list[Path]:
    """All files below a folder, by path, without the `._*` twins that macOS leaves."""
    # os.walk and not Path.rglob, which skips linked folders: sessions are often links to another disk.
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(root, followlinks=True)
        for name in names
        if not name.startswith("._")
    )


def list_audio(files: list[Path]) -> list[Path]:
    """The files that soundfile reads, by their suffix."""
    return [path for path in files if path.suffix.lower() in AUDIO_SUFFIXES]


def audio_by_stem(faults: Faults, files: list[Path]) -> dict[str, Path]:
    """Recordings by name without suffix; two of one name are a fault."""
    audio: dict[str, Path] = {}
    for path in list_audio(files):
        if path.stem in audio:
            faults.add("recording that is there twice", [path])
        audio[path.stem] = path
    return audio


def find_table(files: list[Path], names: tuple[str, ...]) -> Path | None:
    """The one table of these lower-case names; copies of it may lie about, but not another version.

    Returns:
        `Path`, or `None` where there is no such file.

    Raises:
        CorpusError: if two differ, as when the folder holds two releases.
    """
    tables = [path for path in files if path.name.lower() in names]
    if len({path.read_bytes() for path in tables}) > 1:
        shown = ", ".join(str(path) for path in tables[:SHOWN_OFFENDERS])
        raise CorpusError(f"{len(tables)} tables with different contents ({shown}): give the folder of one release")
    return tables[0] if tables else None


def emotion_of(code: str, words: dict[str, str], no_majority: str) -> str | None:
    """The word of an emotion code; for a code without one, what `no_majority` says, where `None` is a clip to drop."""
    if code in words:
        return words[code]
    return {"drop": None, "other": "other", "keep": code}[no_majority]


def as_clips(rows: list[dict[str, str | int | None]]) -> Dataset:
    """Rows as a `datasets.Dataset` sorted by path; all columns are text, but `position` is a number."""
    clips = pd.DataFrame(rows).sort_values("path")
    features = Features({name: Value("int64" if name == "position" else "string") for name in clips})
    return Dataset.from_pandas(clips, features=features, preserve_index=False)


def no_clips(root: Path, wanted: str, advice: str) -> CorpusError:
    """The error of a folder without a single clip: what was looked for, what was found, what to do."""
    entries = sorted(path.name for path in root.iterdir()) if root.is_dir() else ["no such folder"]
    found = ", ".join(entries[:SHOWN_OFFENDERS]) or "nothing"
    more = f" and {len(entries) - SHOWN_OFFENDERS} more" if len(entries) > SHOWN_OFFENDERS else ""
    return CorpusError(f"{root} has no {wanted} (found {found}{more}): {advice}")


def warn_about_some(name: str, sort: str, offenders: Collection[str]) -> None:
    """Warns of what is odd but no fault, with the count and the first three; none is no warning."""
    if offenders:
        shown = ", ".join(sorted(offenders)[:SHOWN_OFFENDERS])
        logger.warning("%s: %s: %s (%s)", name, sort, f"{len(offenders):,}", shown)


def warn_about_count(name: str, found: int, paper: int) -> None:
    """Warns when a corpus has another number of clips than in the paper."""
    if found != paper:
        logger.warning(
            "%s: %s clips instead of the paper's %s: results do not compare with the paper's one to one",
            *(name, f"{found:,}", f"{paper:,}"),
        )
