"""Mandarin Affective Speech (MASC, LDC2007S09) as it is handed out: 68 speakers, five emotions, acted."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import as_clips, list_audio, list_files, no_clips, warn_about_count

LABELS = ("anger", "elation", "neutral", "panic", "sadness")
PAPER_CLIPS = 25_636
SPEAKER = re.compile(r"\d{3}")


def read_masc(data_dir: str) -> Dataset:
    """Reads MASC's tree: `data/<speaker>/<emotion>/<kind>/<clip>`, from any folder at or above the speakers'.

    There is no official split: make one by speaker. Phrases are a word or two; paragraphs are long and neutral only, so the
    length of a clip gives its label away.

    Args:
        data_dir (`str`): `man_aff_spch`, `MASC`, their `data`, or a folder around them.

    Returns:
        `datasets.Dataset` of `path`, `speaker` (`001`), `emotion` and `kind` (`phrase`, `utterance`, `paragraph`), by path.

    Raises:
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    root = Path(data_dir).resolve()
    faults = Faults(root)
    clips: dict[tuple[str, ...], dict[str, str]] = {}
    for path in list_audio(list_files(root)):
        if len(path.parts) < 4 or not SPEAKER.fullmatch(path.parts[-4]):
            continue
        speaker, emotion, folder = path.parts[-4], path.parts[-3].lower(), path.parts[-2].lower()
        kind = _kind(emotion, folder)
        if emotion not in LABELS:
            faults.add(f"folder that is none of {', '.join(LABELS)}", [path.parent.parent])
        elif kind is None:
            faults.add("folder that is neither phrase nor utterance, where no paragraph was read", [path.parent])
        elif (speaker, emotion, kind, path.stem) in clips:
            faults.add("recording that is there twice", [path])
        else:
            clip = {"path": str(path), "speaker": speaker, "emotion": emotion, "kind": kind}
            clips[speaker, emotion, kind, path.stem] = clip
    faults.raise_if_any()
    if not clips:
        raise no_clips(
            root, "recording in data/001/anger/phrase/ and the like", "give the folder that holds the speakers"
        )
    warn_about_count("MASC", len(clips), PAPER_CLIPS)
    return as_clips(list(clips.values()))


def _kind(emotion: str, folder: str) -> str | None:
    if folder in ("phrase", "utterance"):
        return folder
    # Paragraphs were read without emotion only; what their folder is called is not certain.
    return "paragraph" if emotion == "neutral" else None
