"""MSP-Podcast as its owners distribute it, in any release: turns of podcasts and a table of the raters' consensus."""

from pathlib import Path

import pandas as pd
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
from paravox.corpora.tables import read_table

EMOTIONS = {
    "A": "anger",
    "H": "happiness",
    "S": "sadness",
    "D": "disgust",
    "U": "surprise",
    "F": "fear",
    "C": "contempt",
    "N": "neutral",
    "O": "other",
}
LABELS = tuple(EMOTIONS.values())
NO_MAJORITY_CODES = ("X",)
PAPER_CLIPS = 62_140
# Releases 1.6 and 1.8 misspell the name of the file.
TABLES = ("labels_concensus.csv", "labels_consensus.csv")
COLUMNS = ("FileName", "EmoClass", "SpkrID", "Split_Set")
# Releases 1.6 and 1.8 say Validation, later ones Development.
SPLIT_NAMES = {"train": "train", "validation": "validation", "development": "validation"}


def read_msp_podcast(data_dir: str | Path, no_majority: str = "drop") -> Dataset:
    """Reads MSP-Podcast: `Labels/labels_consensus.csv` and the recordings in `Audios/`, anywhere below the folder.

    Files move and vanish between releases, so labels without a recording and recordings without a label are left out
    with a warning. Test3, whose labels are not published, is left out too.

    Args:
        data_dir (`str` or `Path`): the folder of one release.
        no_majority (`str`, *optional*, defaults to `"drop"`): what becomes of turns with the code `X`: `"drop"` leaves
            them out, `"other"` gives them the label `other`, and `"keep"` makes `X` a label, ten labels in all.

    Returns:
        `datasets.Dataset` with `path`, `speaker` (`None` where unknown), `emotion`, `split` and `sex` (`None` where
        unknown), sorted by path.

    Raises:
        ConfigError: if `no_majority` has another value.
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    check_choice("no_majority", no_majority, NO_MAJORITY_CHOICES)
    root = Path(data_dir).resolve()
    files = list_files(root)
    table = find_table(files, TABLES)
    if table is None:
        raise nothing_found(
            root, "Labels/labels_consensus.csv or labels_concensus.csv", "give the folder that holds Labels and Audios"
        )
    faults = Faults(table)
    turns = _read_table(faults, table)
    audio = audio_by_name(faults, files)
    faults.raise_if_any()
    warn_with_examples("MSP-Podcast", "recording without label, left out", audio.keys() - set(turns["name"]))
    splits_of_speaker = turns.groupby("speaker")["split"].nunique()
    warn_with_examples(
        "MSP-Podcast", "speaker in more than one split", splits_of_speaker[splits_of_speaker > 1].index.tolist()
    )
    labelled = turns[turns["EmoClass"].notna()]
    there = labelled["name"].isin(audio.keys())
    warn_with_examples("MSP-Podcast", "label without recording, left out", labelled.loc[~there, "name"].tolist())
    rows = []
    for turn in labelled[there].itertuples():
        if emotion := emotion_of_code(turn.EmoClass, EMOTIONS, no_majority):
            labels = {"emotion": emotion, "split": turn.split, "sex": turn.sex}
            rows.append({"path": str(audio[turn.name]), "speaker": turn.speaker, **labels})
    if not rows:
        raise nothing_found(
            root, f"recording with an emotion in {table}", "put the recordings into Audios beside Labels"
        )
    warn_unless_complete("MSP-Podcast", len(rows), PAPER_CLIPS)
    return clips_by_path(rows)


def _read_table(faults: Faults, table: Path) -> pd.DataFrame:
    turns = read_table(table, COLUMNS, ["Gender"], "use the release's file")
    turns = turns.mask(turns.isin(["NaN", "nan"]))
    turns = turns.reindex(columns=[*COLUMNS, "Gender"]).map(lambda cell: cell.strip(), na_action="ignore")
    faults.add("row without FileName", [f"line {line}" for line in turns.index[turns["FileName"].isna()]])
    turns = turns[turns["FileName"].notna()].copy()
    turns["name"] = turns["FileName"].map(lambda name: Path(name).stem)
    faults.add("turn that is labelled twice", turns.loc[turns["name"].duplicated(), "name"].tolist())
    known = turns["EmoClass"].isin((*EMOTIONS, *NO_MAJORITY_CODES))
    # Test3 can only be scored by the owners, who do not publish its labels.
    withheld = turns["EmoClass"].isna() & turns["Split_Set"].str.lower().eq("test3")
    faults.add(
        f"EmoClass that is none of {', '.join((*EMOTIONS, *NO_MAJORITY_CODES))}",
        [f"{turn.name} {turn.EmoClass}" for turn in turns[~known & ~withheld].itertuples()],
    )
    turns["split"] = turns["Split_Set"].map(_split)
    unknown = turns["split"].isna()
    faults.add(
        "Split_Set that is none of Train, Validation, Development, Test1, Test2, ...",
        turns.loc[unknown, "Split_Set"].unique().tolist(),
    )
    turns["sex"] = [None if pd.isna(gender) else SEXES.get(gender.lower()) for gender in turns["Gender"]]
    # Many speakers were never identified. They must not count as one speaker.
    turns["speaker"] = [None if pd.isna(name) or name.lower() == "unknown" else name for name in turns["SpkrID"]]
    return turns


def _split(name: str | None) -> str | None:
    text = str(name).lower()
    return "test" if text.startswith("test") else SPLIT_NAMES.get(text)
