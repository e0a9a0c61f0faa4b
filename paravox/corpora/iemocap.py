"""IEMOCAP as its owners distribute it: five sessions of dialogues, one recording per turn."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import (
    NO_MAJORITY_CHOICES,
    SEXES,
    audio_by_name,
    check_choice,
    clips_by_path,
    emotion_of_code,
    list_files,
    nothing_found,
    warn_unless_complete,
    warn_with_examples,
)
from paravox.corpora.tables import read_text

EMOTIONS = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excitement",
    "sad": "sadness",
    "fru": "frustration",
    "fea": "fear",
    "sur": "surprise",
    "oth": "other",
    "neu": "neutral",
}
LABELS = tuple(EMOTIONS.values())
# xxx is no majority among the raters. dis is disgust, two turns, for which the paper has no label.
NO_MAJORITY_CODES = ("xxx", "dis")
PAPER_CLIPS = 10_039
# The first letter is the actor who wears the markers of the motion capture; the last one is the actor who speaks.
TURN = re.compile(r"Ses(?P<session>\d\d)[FM]_.+_(?P<actor>[FM])\d{3}")


def read_iemocap(data_dir: str | Path, no_majority: str = "drop") -> Dataset:
    """Reads IEMOCAP: the labels in `Session*/dialog/EmoEvaluation/*.txt`, the turns in `Session*/sentences/wav/`.

    The whole corpus has 7,530 clips with one of the nine emotions. The paper's 10,039 clips include 2,509 others.

    Args:
        data_dir (`str` or `Path`): `IEMOCAP_full_release`, or a folder around it.
        no_majority (`str`, *optional*, defaults to `"drop"`): what becomes of turns with the code `xxx` or `dis`:
            `"drop"` leaves them out, `"other"` gives them the label `other`, and `"keep"` makes each code a label,
            eleven labels in all.

    Returns:
        `datasets.Dataset` with `path`, `speaker` (such as `01F`), `emotion`, `session` (such as `01`) and `sex`,
        sorted by path.

    Raises:
        ConfigError: if `no_majority` has another value.
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    check_choice("no_majority", no_majority, NO_MAJORITY_CHOICES)
    root = Path(data_dir).resolve()
    files = list_files(root)
    faults = Faults(root)
    # The folders inside EmoEvaluation have the same turns once more for each rater.
    tables = [path for path in files if path.parent.name == "EmoEvaluation" and path.suffix == ".txt"]
    codes = _read_codes(faults, tables)
    audio = audio_by_name(faults, files)
    faults.add("labelled turn without recording", [turn for turn in codes if turn not in audio])
    faults.raise_if_any()
    unlabelled = [name for name in audio if TURN.fullmatch(name) and name not in codes]
    warn_with_examples("IEMOCAP", "turn without label, left out", unlabelled)
    rows = []
    for turn, code in codes.items():
        if emotion := emotion_of_code(code, EMOTIONS, no_majority):
            session, actor = TURN.fullmatch(turn).group("session", "actor")
            labels = {"emotion": emotion, "session": session, "sex": SEXES[actor.lower()]}
            rows.append({"path": str(audio[turn]), "speaker": session + actor, **labels})
    if not rows:
        raise nothing_found(
            root, "turn with an emotion in Session*/dialog/EmoEvaluation/*.txt", "give the folder IEMOCAP_full_release"
        )
    warn_unless_complete("IEMOCAP", len(rows), PAPER_CLIPS)
    return clips_by_path(rows)


def _read_codes(faults: Faults, tables: list[Path]) -> dict[str, str]:
    codes: dict[str, str] = {}
    for table in tables:
        for line in read_text(table, strict=False).splitlines():
            # The other lines are the header and the labels of each rater.
            if not line.startswith("["):
                continue
            fields = [field.strip() for field in line.split("\t")]
            if len(fields) != 4 or not TURN.fullmatch(fields[1]):
                faults.add("line that is not [time], turn, code, [values]", [f"{table.name}: {line}"])
                continue
            _, turn, code, _ = fields
            if code not in EMOTIONS and code not in NO_MAJORITY_CODES:
                faults.add(f"emotion code that is none of {', '.join((*EMOTIONS, *NO_MAJORITY_CODES))}", [code])
            if codes.setdefault(turn, code) != code:
                faults.add("turn with two labels", [turn])
    return codes
