"""The Emotional Speech Dataset (ESD) as it is handed out, and corpora laid out alike."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import as_clips, list_audio, list_files, no_clips, warn_about_count
from paravox.corpora.splitting import SPLIT_NAMES

LABELS = ("angry", "happy", "neutral", "sad", "surprise")
PAPER_CLIPS = 35_000  # 20 speakers, 5 emotions, 350 sentences
# A speaker's clips are numbered in this order, 350 to an emotion; a position is the same sentence in each.
BLOCKS = ("neutral", "angry", "happy", "sad", "surprise")
BLOCK_SIZE = 350
CLIP = re.compile(r"(?P<speaker>\d{4})_(?P<number>\d{6})")


def read_esd(data_dir: str) -> Dataset:
    """Reads ESD's tree: `<speaker>/<emotion>/<split>/<clip>`, or without split folders as in later archives.

    Without split folders the position of the sentence decides, as the owners split it: 1 to 20 are `validation`, 21 to 50
    `test`, 51 to 350 `train`. The splits hold different sentences of the same speakers.

    Args:
        data_dir (`str`): the folder of the speakers, or one around it.

    Returns:
        `datasets.Dataset` of `path`, `speaker` (`0011`), `emotion`, `split` and `position` (1 to 350), by path.

    Raises:
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    root = Path(data_dir).resolve()
    faults = Faults(root)
    clips: dict[str, dict[str, str | int]] = {}
    for path in list_audio(list_files(root)):
        name = CLIP.fullmatch(path.stem)
        if not name:
            continue
        in_split = path.parent.name.lower() not in LABELS
        folder = path.parent.parent if in_split else path.parent
        emotion, speaker = folder.name.lower(), folder.parent.name
        block, index = divmod(int(name["number"]) - 1, BLOCK_SIZE)
        split = SPLIT_NAMES.get(path.parent.name.lower()) if in_split else _split(index + 1)
        if emotion not in LABELS:
            faults.add(f"recording outside the folders {', '.join(LABELS)}", [path])
        elif split is None:
            faults.add("split folder that is none of train, evaluation, test", [path.parent])
        elif speaker != name["speaker"] or BLOCKS[block : block + 1] != (emotion,):
            faults.add("recording whose number does not fit its folder", [path])
        elif path.stem in clips:
            faults.add("recording that is there twice", [path])
        else:
            clip = {"path": str(path), "speaker": speaker, "emotion": emotion, "split": split, "position": index + 1}
            clips[path.stem] = clip
    faults.raise_if_any()
    if not clips:
        raise no_clips(
            root,
            "recording in 0001/Angry/ or 0001/Angry/train/ and the like",
            "give the folder that holds the speakers",
        )
    warn_about_count("ESD", len(clips), PAPER_CLIPS)
    return as_clips(list(clips.values()))


def _split(position: int) -> str:
    if position <= 20:
        return "validation"
    return "test" if position <= 50 else "train"
