"""Table 1 of the Burst2Vec paper: how long each split is, its clips, and how many speakers of each kind it has."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from datasets import ClassLabel, Dataset
from rich.table import Table
from rich.text import Text

from paravox.corpora.reading import SEXES, warn_with_examples
from paravox.modeling.losses import UNKNOWN_CLASS
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset

SPLIT_TITLES = {"train": "Train", "validation": "Validation", "test": "Test"}
NOT_IN_FILES = "not in its files"
UNKNOWN = "-"
# A task of classes describes speakers if no more than this share of those with several labelled clips has two labels.
# An origin that was entered wrongly for some is still one; an emotion, which differs from clip to clip, is not.
MOST_DISAGREEING = 0.25


@dataclass(frozen=True)
class SpeakersByLabel:
    """How many speakers of a split have each label.

    Args:
        counts (`dict`): from label to the number of speakers all of whose labelled clips have it.
        unknown (`int`): how many speakers count for no label: they have no labelled clip, or their clips disagree.
        disagreeing (list of `str`): the speakers whose clips have different labels.
        compared (`int`): how many speakers have at least two labelled clips.
    """

    counts: dict[str, int]
    unknown: int
    disagreeing: list[str]
    compared: int

    @property
    def known(self) -> int:
        """How many speakers count for a label."""
        return sum(self.counts.values())


@dataclass(frozen=True)
class SplitSpeakers:
    """What one column of table 1 shows.

    Args:
        seconds (`float`): how long all clips are together.
        clips (`int`): how many there are.
        speakers (`int`): how many known speakers there are.
        clips_without_speaker (`int`): how many clips have no known speaker.
        sexes ([`SpeakersByLabel`], *optional*): by `female` and `male`; `None` if the corpus has no column `sex`.
        labels (`dict` of [`SpeakersByLabel`]): for each task of classes.
    """

    seconds: float
    clips: int
    speakers: int
    clips_without_speaker: int
    sexes: SpeakersByLabel | None
    labels: dict[str, SpeakersByLabel] = field(default_factory=dict)

    def groups(self, tasks: Sequence[Task]) -> dict[str, SpeakersByLabel]:
        """Returns the numbers by `sex`, if it is in the files, and by the label of each of the given tasks."""
        sexes = {} if self.sexes is None else {"sex": self.sexes}
        return sexes | {task.name: self.labels[task.name] for task in tasks}

    def as_data(self, tasks: Sequence[Task]) -> dict[str, Any]:
        """Returns the same groups as plain data: `counts`, `unknown` and the number of speakers who disagree."""
        return {
            name: {"counts": found.counts, "unknown": found.unknown, "disagreeing": len(found.disagreeing)}
            for name, found in self.groups(tasks).items()
        }


def describe_speakers(clips: Dataset, dataset: MultiTaskDataset) -> SplitSpeakers:
    """Counts the speakers of one split of a corpus by sex and by the label of each task of classes.

    Args:
        clips (`datasets.Dataset`): the split as its reader returns it. A column `sex` holds female or male, f or m, in
            upper or lower case; any other value, such as an empty one, means that the sex is unknown.
        dataset ([`MultiTaskDataset`]): the same clips with the tasks to describe.
    """
    speakers = [speaker or None for speaker in dataset.speakers or [None] * len(dataset)]
    sexes = None
    if "sex" in clips.column_names:
        known = [SEXES.get(text.strip().lower()) for text in _texts(clips, "sex")]
        sexes = count_speakers(speakers, known, ("female", "male"))
    labels = {}
    for task in dataset.tasks:
        if task.kind == "classes":
            positions = dataset.labels[task.name]
            values = [None if place == UNKNOWN_CLASS else task.labels[place] for place in positions]
            labels[task.name] = count_speakers(speakers, values, task.labels)
    return SplitSpeakers(
        seconds=float(dataset.seconds.sum()),
        clips=len(dataset),
        speakers=len(set(speakers) - {None}),
        clips_without_speaker=speakers.count(None),
        sexes=sexes,
        labels=labels,
    )


def _texts(clips: Dataset, column: str) -> list[str]:
    """Reads a column as text, with an empty one where there is no value."""
    feature, values = clips.features[column], clips[column][:]
    if isinstance(feature, ClassLabel):
        return ["" if value is None or value < 0 else feature.names[value] for value in values]
    return ["" if value is None else str(value) for value in values]


def count_speakers(
    speakers: Sequence[str | None], values: Sequence[str | None], labels: Sequence[str]
) -> SpeakersByLabel:
    """Counts speakers by a label of their clips. A speaker whose clips have different labels counts as unknown.

    Args:
        speakers (sequence of `str` or `None`): the speaker of each clip; clips of unknown speakers are left out.
        values (sequence of `str` or `None`): the label of each clip, `None` where unknown.
        labels (sequence of `str`): all labels that there are.
    """
    found: dict[str, list[str]] = {}
    for speaker, value in zip(speakers, values, strict=True):
        if speaker is not None:
            found.setdefault(speaker, []).extend([] if value is None else [value])
    counts = dict.fromkeys(labels, 0)
    for of_speaker in found.values():
        if len(set(of_speaker)) == 1:
            counts[of_speaker[0]] += 1
    disagreeing = sorted(speaker for speaker, of_speaker in found.items() if len(set(of_speaker)) > 1)
    compared = sum(len(of_speaker) > 1 for of_speaker in found.values())
    return SpeakersByLabel(counts, len(found) - sum(counts.values()), disagreeing, compared)


def tasks_of_speakers(splits: dict[str, SplitSpeakers], tasks: Sequence[Task]) -> list[Task]:
    """Selects the tasks of classes whose label belongs to a speaker, such as a country, and not to a clip.

    Args:
        splits (`dict` of [`SplitSpeakers`]): by the name of the split.
        tasks (sequence of [`Task`]): those that were described.
    """
    chosen = []
    for task in (task for task in tasks if task.kind == "classes"):
        found = [split.labels[task.name] for split in splits.values()]
        disagreeing = sum(len(counts.disagreeing) for counts in found)
        if disagreeing <= MOST_DISAGREEING * sum(counts.compared for counts in found):
            chosen.append(task)
    return chosen


def warn_of_disagreement(splits: dict[str, SplitSpeakers], tasks: Sequence[Task]) -> None:
    """Warns of speakers whose clips disagree about their sex or about the label of one of these tasks."""
    for split, described in splits.items():
        for name, found in described.groups(tasks).items():
            what = f"speakers whose clips differ in {name}, counted as unknown"
            warn_with_examples(SPLIT_TITLES[split], what, found.disagreeing)


@dataclass(frozen=True)
class PaperTable:
    """Table 1 with one row per number and one column per split.

    Args:
        caption (`str`): what the table shows.
        header (list of `str`): the titles of the columns; the first is empty.
        rows (list of list of `str`): the title of each row and its cells.
        notes (list of `str`): sentences about what is unknown.
    """

    caption: str
    header: list[str]
    rows: list[list[str]]
    notes: list[str]

    def as_markdown(self) -> str:
        """Returns the table with its caption above and its notes below."""
        lines = [self.header, ["---", *["---:"] * (len(self.header) - 1)], *self.rows]
        cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        table = "\n".join(f"| {' | '.join(line)} |" for line in cells)
        return "\n\n".join([self.caption, table, *self.notes]) + "\n"

    def as_latex(self) -> str:
        """Returns a `table` environment, which needs the package booktabs."""
        style = pd.DataFrame(self.rows, columns=self.header).style.hide(axis="index")
        return (
            style.format(escape="latex")
            .format_index(escape="latex", axis="columns")
            .to_latex(
                hrules=True,
                column_format="l" + "r" * (len(self.header) - 1),
                # The only special character in the name of a task, which is a Python identifier.
                caption=" ".join([self.caption, *self.notes]).replace("_", r"\_"),
                label="tab:corpus",
                position="t",
                position_float="centering",
            )
        )

    def as_rich(self) -> Table:
        """Returns the table for the terminal, with its notes below."""
        table = Table(title="Table 1, as in the Burst2Vec paper", title_justify="left", caption_justify="left")
        table.caption = Text("\n".join(self.notes), style="table.caption") if self.notes else None
        for title in self.header:
            table.add_column(title, justify="right" if title else "left")
        for row in self.rows:
            # As Text, because a label such as [laugh] would be read as markup.
            table.add_row(*map(Text, row))
        return table

    def as_csv(self) -> str:
        """Returns the header and the rows, without caption and notes."""
        text = io.StringIO()
        pd.DataFrame(self.rows, columns=self.header).to_csv(text, index=False, lineterminator="\n")
        return text.getvalue()


def paper_table(splits: dict[str, SplitSpeakers], tasks: Sequence[Task]) -> PaperTable:
    """Makes table 1.

    Args:
        splits (`dict` of [`SplitSpeakers`]): by the name of the split.
        tasks (sequence of [`Task`]): each task of classes whose label belongs to a speaker has one row per label.

    Returns:
        [`PaperTable`]: a cell is `-` where nothing is known in the split, as in the column Test of the paper. The sexes
        are `not in its files` if the corpus has no column `sex`, or not one value in it.
    """
    columns = list(splits.values())
    rows = [
        ["HH:MM:SS", *(format_duration(split.seconds) for split in columns)],
        ["No.", *(str(split.clips) for split in columns)],
        ["Speakers", *(str(split.speakers) if split.speakers else UNKNOWN for split in columns)],
        ["F:M", *_sexes_cells(columns)],
    ]
    for task in tasks:
        for label in task.labels:
            title = label if len(tasks) == 1 else f"{task.name}: {label}"
            found = [split.labels[task.name] for split in columns]
            rows.append([title, *(str(counts.counts[label]) if counts.known else UNKNOWN for counts in found)])
    header = ["", *(SPLIT_TITLES[split] for split in splits)]
    caption = "Statistics of each split: duration (HH:MM:SS), number of clips (No.), number of speakers"
    if tasks:
        caption += f", their sex (F:M), and speakers by {' and by '.join(task.name for task in tasks)}"
    else:
        caption += ", and their sex (F:M)"
    return PaperTable(f"{caption}.", header, rows, _notes(splits, tasks))


def format_duration(seconds: float) -> str:
    """Writes a duration as HH:MM:SS, rounded to the second; 100 hours and more take more digits."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"


def _sexes_cells(splits: Sequence[SplitSpeakers]) -> list[str]:
    counts = [split.sexes.counts if split.sexes and split.sexes.known else None for split in splits]
    if not any(counts):
        return [NOT_IN_FILES] * len(splits)
    return [f"{found['female']}:{found['male']}" if found else UNKNOWN for found in counts]


def _notes(splits: dict[str, SplitSpeakers], tasks: Sequence[Task]) -> list[str]:
    """Says for how many clips the speaker is unknown, and for how many speakers the sex or a label."""
    unknown: dict[str, list[str]] = {}
    for split, described in splits.items():
        title = SPLIT_TITLES[split]
        if described.clips_without_speaker:
            part = f"{described.clips_without_speaker:,} of {described.clips:,} clips in {title}"
            unknown.setdefault("speaker", []).append(part)
        for name, found in described.groups(tasks).items():
            if found.unknown:
                part = f"{found.unknown:,} of {described.speakers:,} speakers in {title}"
                if found.disagreeing:
                    part += f" (the clips of {len(found.disagreeing):,} of them differ)"
                unknown.setdefault(name, []).append(part)
    return [f"Unknown {name}: {', '.join(parts)}." for name, parts in unknown.items()]
