"""Mandarin Affective Speech (MASC, LDC2007S09) as its owners distribute it: 68 speakers act five emotions."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import clips_by_path, list_audio, list_files, nothing_found, warn_unless_complete

LABELS = ("anger", "elation", "neutral", "panic", "sadness")
PAPER_CLIPS = 25_636
SPEAKER = re.compile(r"\d{3}")


def read_masc(data_dir: str | Path) -> Dataset:
    """Reads MASC: recordings in `data/<speaker>/<emotion>/<kind>/`.

    The corpus has no split of its own. Phrases are a word or two; paragraphs are long and always neutral, so that the
    length of a clip gives its label away.

    Args:
        data_dir (`str` or `Path`): `man_aff_spch`, `MASC`, their `data`, or a folder around one of these.

    Returns:
        `datasets.Dataset` with `path`, `speaker` (such as `001`), `emotion` and `kind` (`phrase`, `utterance` or
        `paragraph`), sorted by path.

    Raises:
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    root = Path(data_dir).resolve()
    faults = Faults(root)
    clips: dict[tuple[str, ...], dict[str, str | int | None]] = {}
    for path in list_audio(list_files(root)):
        if len(path.parts) < 4 or not SPEAKER.fullmatch(path.parts[-4]):
            continue
        speaker, emotion, folder = path.parts[-4], path.parts[-3].lower(), path.parts[-2].lower()
        kind = _kind(emotion, folder)
        if emotion not in LABELS:
            faults.add(f"folder that is none of {', '.join(LABELS)}", [path.parent.parent])
        elif kind is None:
            faults.add("folder that is neither phrase nor utterance, of an emotion without paragraphs", [path.parent])
        elif (speaker, emotion, kind, path.stem) in clips:
            faults.add("recording found twice", [path])
        else:
            key = (speaker, emotion, kind, path.stem)
            clips[key] = {"path": str(path), "speaker": speaker, "emotion": emotion, "kind": kind}
    faults.raise_if_any()
    if not clips:
        raise nothing_found(
            root, "recording in data/001/anger/phrase/ and the like", "give the folder that holds the speakers"
        )
    warn_unless_complete("MASC", len(clips), PAPER_CLIPS)
    return clips_by_path(list(clips.values()))


def _kind(emotion: str, folder: str) -> str | None:
    if folder in ("phrase", "utterance"):
        return folder
    # Only neutral speech has paragraphs. The name of their folder is not known for certain.
    return "paragraph" if emotion == "neutral" else None
