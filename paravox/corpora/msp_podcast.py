"""MSP-Podcast as it is handed out: turns of podcasts and a table of what most raters heard, in any release."""

from pathlib import Path

import pandas as pd
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
from paravox.modeling.errors import CorpusError

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
# Releases 1.6 and 1.8 misspell the file.
TABLES = ("labels_concensus.csv", "labels_consensus.csv")
COLUMNS = ("FileName", "EmoClass", "SpkrID", "Split_Set")
# Releases 1.6 and 1.8 say Validation, later ones Development.
SPLITS = {"train": "train", "validation": "validation", "development": "validation"}


def read_msp_podcast(data_dir: str, no_majority: str = "drop") -> Dataset:
    """Reads MSP-Podcast's tree: `Labels/labels_consensus.csv` and the recordings of `Audios/`, wherever below the root.

    Files move and vanish between releases, so labels without recording and recordings without label are counted, warned
    about and left out. Test3, whose labels are withheld, is left out.

    Args:
        data_dir (`str`): the folder of one release.
        no_majority (`str`, *optional*, defaults to `"drop"`): what becomes of turns coded `X`: they are left out; `"other"`
            counts them as `other`; `"keep"` makes `X` a label, ten in all.

    Returns:
        `datasets.Dataset` of `path`, `speaker` (`None` where unknown), `emotion` and `split`, by path.

    Raises:
        ConfigError: if `no_majority` is none of these.
        CorpusError: one message with everything that is wrong, or if there is no clip.
    """
    check_choice("no_majority", no_majority, NO_MAJORITY_CHOICES)
    root = Path(data_dir).resolve()
    files = list_files(root)
    table = find_table(files, TABLES)
    if table is None:
        raise no_clips(
            root, "Labels/labels_consensus.csv or labels_concensus.csv", "give the folder that holds Labels and Audios"
        )
    faults = Faults(table)
    turns = _read_table(faults, table)
    audio = audio_by_stem(faults, files)
    faults.raise_if_any()
    warn_about_some("MSP-Podcast", "recording without label, left out", audio.keys() - set(turns["name"]))
    splits_of_speaker = turns.groupby("speaker")["split"].nunique()
    warn_about_some(
        "MSP-Podcast", "speaker in more than one split", splits_of_speaker[splits_of_speaker > 1].index.tolist()
    )
    labelled = turns[turns["EmoClass"].notna()]
    there = labelled["name"].isin(audio.keys())
    warn_about_some("MSP-Podcast", "label without recording, left out", labelled.loc[~there, "name"].tolist())
    rows = []
    for turn in labelled[there].itertuples():
        if emotion := emotion_of(turn.EmoClass, EMOTIONS, no_majority):
            clip = {"path": str(audio[turn.name]), "speaker": turn.speaker, "emotion": emotion, "split": turn.split}
            rows.append(clip)
    if not rows:
        raise no_clips(root, f"recording with an emotion in {table}", "put the recordings into Audios beside Labels")
    warn_about_count("MSP-Podcast", len(rows), PAPER_CLIPS)
    return as_clips(rows)


def _read_table(faults: Faults, table: Path) -> pd.DataFrame:
    turns = pd.read_csv(table, dtype=object, keep_default_na=False, na_values=["", "NaN", "nan"], encoding="utf-8-sig")
    missing = [name for name in COLUMNS if name not in turns]
    if missing:
        raise CorpusError(
            f"{table} lacks the columns {', '.join(missing)} (found {', '.join(turns)}): use the release's file"
        )
    turns = turns[list(COLUMNS)].map(lambda cell: cell.strip(), na_action="ignore")
    faults.add("row without FileName", turns.index[turns["FileName"].isna()].tolist())
    turns = turns[turns["FileName"].notna()].copy()
    turns["name"] = turns["FileName"].map(lambda name: Path(name).stem)
    faults.add("turn that is labelled twice", turns.loc[turns["name"].duplicated(), "name"].tolist())
    known = turns["EmoClass"].isin((*EMOTIONS, *NO_MAJORITY_CODES))
    # Test3 is scored by the owners alone, who withhold its labels.
    withheld = turns["EmoClass"].isna() & turns["Split_Set"].str.lower().eq("test3")
    faults.add(
        f"EmoClass that is none of {', '.join((*EMOTIONS, *NO_MAJORITY_CODES))}",
        [f"{turn.name} {turn.EmoClass}" for turn in turns[~known & ~withheld].itertuples()],
    )
    turns["split"] = turns["Split_Set"].map(_split)
    strange = turns["split"].isna()
    faults.add(
        "Split_Set that is none of Train, Validation, Development, Test1, Test2, ...",
        turns.loc[strange, "Split_Set"].unique().tolist(),
    )
    # Many speakers were never identified: they are no one speaker.
    turns["speaker"] = [None if pd.isna(name) or name.lower() == "unknown" else name for name in turns["SpkrID"]]
    return turns


def _split(name: str | None) -> str | None:
    text = str(name).lower()
    return "test" if text.startswith("test") else SPLITS.get(text)
