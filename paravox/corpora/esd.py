"""The Emotional Speech Dataset (ESD) as its owners distribute it, and corpora with the same layout."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import clips_by_path, list_audio, list_files, nothing_found, warn_unless_complete
from paravox.corpora.splitting import SPLIT_NAMES

LABELS = ("angry", "happy", "neutral", "sad", "surprise")
PAPER_CLIPS = 35_000  # 20 speakers, 5 emotions, 350 sentences
# The clips of a speaker are numbered in this order, 350 per emotion. The same position is the same sentence in each
# block.
BLOCKS = ("neutral", "angry", "happy", "sad", "surprise")
BLOCK_SIZE = 350
# Other corpora with this layout have other speakers.
SPEAKERS = [f"{speaker:04}" for speaker in range(1, 21)]
MEN = ("0004", "0005", "0006", "0008", "0010", "0011", "0012", "0013", "0014", "0020")
CLIP = re.compile(r"(?P<speaker>\d{4})_(?P<number>\d{6})")


def read_esd(data_dir: str | Path) -> Dataset:
    """Reads ESD: recordings in `<speaker>/<emotion>/<split>/` or, in later archives, in `<speaker>/<emotion>/`.

    Without split folders, the position of a sentence decides as in the owners' split: 1 to 20 are `validation`, 21 to
    50 are `test`, 51 to 350 are `train`. The splits have different sentences of the same speakers.

    Args:
        data_dir (`str` or `Path`): the folder that holds the speakers, or one around it.

    Returns:
        `datasets.Dataset` with `path`, `speaker` (such as `0011`), `emotion`, `split`, `position` (1 to 350) and `sex`
        (`None` for speakers who are not in ESD itself), sorted by path.

    Raises:
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    root = Path(data_dir).resolve()
    faults = Faults(root)
    clips: dict[str, dict[str, str | int | None]] = {}
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
            faults.add("recording found twice", [path])
        else:
            labels: dict[str, str | int | None] = {"speaker": speaker, "emotion": emotion, "split": split}
            sex = ("male" if speaker in MEN else "female") if speaker in SPEAKERS else None
            clips[path.stem] = {"path": str(path), **labels, "position": index + 1, "sex": sex}
    faults.raise_if_any()
    if not clips:
        raise nothing_found(
            root,
            "recording in 0001/Angry/ or 0001/Angry/train/ and the like",
            "give the folder that holds the speakers",
        )
    warn_unless_complete("ESD", len(clips), PAPER_CLIPS)
    return clips_by_path(list(clips.values()))


def _split(position: int) -> str:
    if position <= 20:
        return "validation"
    return "test" if position <= 50 else "train"
