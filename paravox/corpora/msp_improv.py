"""MSP-IMPROV as its owners distribute it: six sessions of two actors, one recording per turn."""

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
    find_table,
    list_files,
    nothing_found,
    warn_unless_complete,
    warn_with_examples,
)
from paravox.corpora.tables import read_text

EMOTIONS = {"A": "anger", "H": "happiness", "S": "sadness", "N": "neutral"}
LABELS = tuple(EMOTIONS.values())
# O is another emotion, X is no agreement among the raters.
NO_MAJORITY_CODES = ("O", "X")
PAPER_CLIPS = 8_438
LABELLINGS = ("intended", "consensus")
# Both spellings of the file occur.
TABLES = ("evalution.txt", "evaluation.txt")
# The fields of MSP-IMPROV-S01A-F01-P-FM01: sentence 01 and intended emotion A, speaker F01 of session 01, setting,
# turn.
TURN = re.compile(r"MSP-IMPROV-S\d\d(?P<code>[AHSN])-(?P<speaker>[FM](?P<session>\d\d))-[RSTP]-[A-Z]{2}\d+")
# The first line of a block has the name of the video: UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:2.8; ...
SUMMARY = re.compile(r"(?:UTD|MSP)-(?P<turn>IMPROV-\S+)\.\w+\s*;\s*(?P<code>\w+)\s*;.*")


def read_msp_improv(data_dir: str | Path, labelling: str = "intended", no_majority: str = "drop") -> Dataset:
    """Reads MSP-IMPROV: recordings in `session*/` or in one folder, and `Evalution.txt` or `Evaluation.txt`.

    Args:
        data_dir (`str` or `Path`): the folder of the corpus.
        labelling (`str`, *optional*, defaults to `"intended"`): `"intended"` is the emotion that the actors were
            asked to show, which is part of the name of each of the 8,438 turns that the paper counts. `"consensus"` is
            the raters' choice in the label file, which is one of the four emotions for 7,798 turns.
        no_majority (`str`, *optional*, defaults to `"drop"`): what becomes of turns whose consensus is `O` or `X`:
            `"drop"` leaves them out, `"other"` gives them the label `other`, and `"keep"` makes each code a label.
            Every turn has an intended emotion.

    Returns:
        `datasets.Dataset` with `path`, `speaker` (such as `F01`), `emotion`, `session` (such as `01`) and `sex`,
        sorted by path.

    Raises:
        ConfigError: if `labelling` or `no_majority` has another value.
        CorpusError: one message with everything that is wrong, or if there is no clip, or no label file for the
            consensus.
    """
    check_choice("labelling", labelling, LABELLINGS)
    check_choice("no_majority", no_majority, NO_MAJORITY_CHOICES)
    root = Path(data_dir).resolve()
    files = list_files(root)
    faults = Faults(root)
    audio = {stem: path for stem, path in audio_by_name(faults, files).items() if stem.startswith("MSP-IMPROV-")}
    faults.add("name that is not MSP-IMPROV-S01A-F01-P-FM01", [stem for stem in audio if not TURN.fullmatch(stem)])
    table = find_table(files, TABLES)
    if labelling == "consensus" and table is None:
        raise nothing_found(
            root, "Evalution.txt or Evaluation.txt", "add it, or read the emotions by labelling: intended"
        )
    consensus = _read_consensus(faults, table) if table else {}
    faults.add("labelled turn without recording", [turn for turn in consensus if turn not in audio])
    faults.raise_if_any()
    codes = {turn: TURN.fullmatch(turn)["code"] for turn in audio}
    if labelling == "consensus":
        warn_with_examples("MSP-IMPROV", "recording without label, left out", audio.keys() - consensus.keys())
        codes = consensus
    rows = []
    for turn, code in codes.items():
        if emotion := emotion_of_code(code, EMOTIONS, no_majority):
            speaker, session = TURN.fullmatch(turn).group("speaker", "session")
            labels = {"emotion": emotion, "session": session, "sex": SEXES[speaker[0].lower()]}
            rows.append({"path": str(audio[turn]), "speaker": speaker, **labels})
    if not rows:
        raise nothing_found(
            root, "recording with an emotion in session*/*/*/ or Audios/", "give the folder that holds session1"
        )
    warn_unless_complete("MSP-IMPROV", len(rows), PAPER_CLIPS)
    return clips_by_path(rows)


def _read_consensus(faults: Faults, table: Path) -> dict[str, str]:
    codes: dict[str, str] = {}
    for line in read_text(table, strict=False).splitlines():
        # The other lines are the labels of each rater.
        if not line.startswith(("UTD-", "MSP-")):
            continue
        summary = SUMMARY.fullmatch(line.strip())
        if not summary:
            faults.add(f"line of {table.name} that is not name; code; values", [line])
            continue
        turn, code = f"MSP-{summary['turn']}", summary["code"]
        if code not in EMOTIONS and code not in NO_MAJORITY_CODES:
            faults.add(f"emotion code that is none of {', '.join((*EMOTIONS, *NO_MAJORITY_CODES))}", [code])
        if codes.setdefault(turn, code) != code:
            faults.add("turn with two labels", [turn])
    return codes
