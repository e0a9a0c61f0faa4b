"""MSP-IMPROV as it is handed out: six sessions of two actors, one recording a turn."""

import re
from pathlib import Path

from datasets import Dataset

from paravox.corpora.faults import Faults
from paravox.corpora.reading import (
    NO_MAJORITY_CHOICES,
    as_clips,
    audio_by_stem,
    check_choice,
    emotion_of,
    find_table,
    list_files,
    no_clips,
    warn_about_count,
    warn_about_some,
)

EMOTIONS = {"A": "anger", "H": "happiness", "S": "sadness", "N": "neutral"}
LABELS = tuple(EMOTIONS.values())
# Another emotion; and no agreement.
NO_MAJORITY_CODES = ("O", "X")
PAPER_CLIPS = 8_438
LABELLINGS = ("intended", "consensus")
# Releases spell the file in both ways.
TABLES = ("evalution.txt", "evaluation.txt")
# Sentence and intended emotion, speaker and session, setting, turn: MSP-IMPROV-S01A-F01-P-FM01.
TURN = re.compile(r"MSP-IMPROV-S\d\d(?P<code>[AHSN])-(?P<speaker>[FM](?P<session>\d\d))-[RSTP]-[A-Z]{2}\d+")
# The first line of a block names the video: UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:2.8; ...
SUMMARY = re.compile(r"(?:UTD|MSP)-(?P<turn>IMPROV-\S+)\.\w+\s*;\s*(?P<code>\w+)\s*;.*")


def read_msp_improv(data_dir: str, labelling: str = "intended", no_majority: str = "drop") -> Dataset:
    """Reads MSP-IMPROV's tree: recordings in `session*/` or in one flat folder, and `Evalution.txt` or `Evaluation.txt`.

    Args:
        data_dir (`str`): the root.
        labelling (`str`, *optional*, defaults to `"intended"`): the emotion that the actors were to show, which stands in
            the name of each of the 8,438 turns, as the paper counts them; or the raters' `"consensus"`, from the label
            file, which has one of the four emotions for 7,798 of them.
        no_majority (`str`, *optional*, defaults to `"drop"`): what becomes of turns whose consensus is `O` or `X`: they are
            left out; `"other"` counts them as `other`; `"keep"` makes either code a label. All turns have an intention.

    Returns:
        `datasets.Dataset` of `path`, `speaker` (`F01`), `emotion` and `session` (`01`), by path.

    Raises:
        ConfigError: if `labelling` or `no_majority` is none of these.
        CorpusError: one message with everything that is wrong, or if there is no clip or no label file for the consensus.
    """
    check_choice("labelling", labelling, LABELLINGS)
    check_choice("no_majority", no_majority, NO_MAJORITY_CHOICES)
    root = Path(data_dir).resolve()
    files = list_files(root)
    faults = Faults(root)
    audio = {stem: path for stem, path in audio_by_stem(faults, files).items() if stem.startswith("MSP-IMPROV-")}
    faults.add("name that is not MSP-IMPROV-S01A-F01-P-FM01", [stem for stem in audio if not TURN.fullmatch(stem)])
    table = find_table(files, TABLES)
    if labelling == "consensus" and table is None:
        raise no_clips(root, "Evalution.txt or Evaluation.txt", "add it, or read the emotions by labelling: intended")
    consensus = _read_consensus(faults, table) if table else {}
    faults.add("labelled turn without recording", [turn for turn in consensus if turn not in audio])
    faults.raise_if_any()
    codes = {turn: TURN.fullmatch(turn)["code"] for turn in audio}
    if labelling == "consensus":
        warn_about_some("MSP-IMPROV", "recording without label, left out", audio.keys() - consensus.keys())
        codes = consensus
    rows = []
    for turn, code in codes.items():
        if emotion := emotion_of(code, EMOTIONS, no_majority):
            speaker, session = TURN.fullmatch(turn).group("speaker", "session")
            rows.append({"path": str(audio[turn]), "speaker": speaker, "emotion": emotion, "session": session})
    if not rows:
        raise no_clips(
            root, "recording with an emotion in session*/*/*/ or Audios/", "give the folder that holds session1"
        )
    warn_about_count("MSP-IMPROV", len(rows), PAPER_CLIPS)
    return as_clips(rows)


def _read_consensus(faults: Faults, table: Path) -> dict[str, str]:
    codes: dict[str, str] = {}
    for line in table.read_text(encoding="utf-8", errors="replace").splitlines():
        # All other lines are what the single raters said.
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
