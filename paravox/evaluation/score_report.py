"""A report of scores as an HTML page: how well, how sure, for whom, and where a model is wrong."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from sklearn.metrics import confusion_matrix

import paravox
from paravox.evaluation.bootstrap import DRAWS
from paravox.evaluation.group_scores import (
    MIN_CLIPS,
    MIN_SPEAKERS,
    Arrays,
    Group,
    Score,
    ccc_by_label,
    groups_of_labels,
    labelled_speakers,
    score_groups,
    scores_with_intervals,
    speaker_names,
)
from paravox.evaluation.html_page import Cell, HtmlAudio, HtmlFigure, HtmlTable, Paragraph, Part, Section, write_page
from paravox.evaluation.reliability import BINS, class_reliability, intensity_reliability
from paravox.evaluation.report_figures import plot_confusion, plot_intervals, plot_reliability, plot_scalar
from paravox.evaluation.score_names import metric_title
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.scoring import METRICS_BY_KIND

WORST_CLIPS = 10
# Of a longer recording, a player has the beginning.
MAX_PLAYER_SECONDS = 15.0
# The score of each kind that the figures of groups show.
_MAIN_METRIC = {kind: metrics[0] for kind, metrics in METRICS_BY_KIND.items()}
_NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class ScoredSplit:
    """One split of a corpus with the predictions of one or several models.

    Args:
        models (list of `str`): the names of the models.
        corpus (`str`): the name of the corpus.
        split (`str`): `train`, `validation` or `test`.
        tasks (list of [`Task`]).
        rows (`dict`): from a name to predictions per task. The first one is the constant prediction; the report is
            about the last one, the model or the mean of several models.
        labels (`dict` of `np.ndarray`): per task, as in `MultiTaskDataset.labels`.
        speakers (list of `str` or None, *optional*): of each clip.
        files (list of `str`): the file names of the clips, without folders.
        groups (`dict`): from [`groups_of_columns`].
        seconds (`float`): how long it took to predict the clips.
    """

    models: list[str]
    corpus: str
    split: str
    tasks: list[Task]
    rows: dict[str, Arrays]
    labels: Arrays
    speakers: list[str | None] | None
    files: list[str]
    groups: dict[str, list[str | None]]
    seconds: float

    @property
    def predictions(self) -> Arrays:
        """Those that the report is about."""
        return list(self.rows.values())[-1]

    @property
    def speaker_of_clip(self) -> list[str]:
        return speaker_names(self.speakers, len(self.files))


def write_score_report(
    file: Path, scored: ScoredSplit, recording: Callable[[int, str], HtmlAudio] | None = None
) -> None:
    """Writes the report as one HTML file.

    Args:
        file (`Path`): its folder is made if it does not exist.
        scored ([`ScoredSplit`]).
        recording (`Callable`, *optional*): takes a row and a caption and returns a player of that clip, as
            [`player_of_clip`] does. Without it the page holds no recording.
    """
    overall = scores_with_intervals(scored.tasks, scored.predictions, scored.labels, scored.speaker_of_clip)
    sections = [
        Section("", _opening(scored, with_audio=recording is not None)),
        Section("Scores", _score_tables(scored)),
        *(Section(task.name, _task_parts(task, scored)) for task in scored.tasks),
        Section("Groups", _group_parts(scored, overall)),
        Section("Worst clips", _worst_clips(scored, recording)),
    ]
    write_page(file, f"Scores of {_subject(scored)}", sections)


def model_titles(names: list[str]) -> list[str]:
    """Names of models for a page: of a folder its last two parts, because the rest belongs to this machine.

    Args:
        names (list of `str`): folders, or names on the Hub.
    """
    paths = [Path(name).absolute() if Path(name).is_dir() else Path(name) for name in names]
    titles = ["/".join(part for part in path.parts[-2:] if part != path.anchor) for path in paths]
    return titles if len(set(titles)) == len(titles) else names


def player_of_clip(dataset: MultiTaskDataset, row: int, caption: str) -> HtmlAudio:
    """A player of the first 15 seconds of a clip, mono and at the rate at which the model hears it.

    Args:
        dataset ([`MultiTaskDataset`]): of recordings.
        row (`int`): of the clip.
        caption (`str`): what it is.
    """
    rate = dataset.recordings.sampling_rate
    samples = dataset.recordings.read(row, epoch=0)[: round(MAX_PLAYER_SECONDS * rate)]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), rate, format="FLAC", subtype="PCM_16")
    return HtmlAudio(buffer.getvalue(), caption)


def _subject(scored: ScoredSplit) -> str:
    return scored.models[0] if len(scored.models) == 1 else f"the mean of {len(scored.models)} models"


def _opening(scored: ScoredSplit, with_audio: bool) -> list[Part]:
    members = "" if len(scored.models) == 1 else f" ({', '.join(scored.models)})"
    speakers = len(set(scored.speaker_of_clip))
    unknown = sum(name.startswith("\0") for name in scored.speaker_of_clip)
    clips = len(scored.files)
    facts = (
        f"This page shows how well {_subject(scored)}{members} predicts {_tasks_in_words(scored.tasks)} on the split "
        f"{scored.split} of the corpus {scored.corpus}: {_many(clips, 'clip')} of "
        f"{_many(speakers - unknown, 'speaker')}, predicted by paravox {paravox.__version__} in "
        f"{_many(max(1, round(scored.seconds)), 'second')}."
    )
    method = (
        f"Brackets and bars are 95 % intervals over speakers: as many speakers as there are were drawn {DRAWS:,} times "
        "with replacement. They say how much a score depends on who was recorded, not on the seed of the training."
    )
    if unknown == clips:
        method += " The corpus names no speakers, so that each clip counts as a speaker of its own."
    elif unknown:
        method += f" {_many(unknown, 'clip')} without a known speaker count as speakers of their own."
    recordings = (
        "The page holds recordings: do not publish it unless you may publish them."
        if with_audio
        else "The page holds no recording, only the names of some files."
    )
    return [Paragraph(facts), Paragraph(method), Paragraph(recordings)]


def _tasks_in_words(tasks: list[Task]) -> str:
    *first, last = [task.name for task in tasks]
    return f"{', '.join(first)} and {last}" if first else last


def _score_tables(scored: ScoredSplit) -> list[Part]:
    speakers = scored.speaker_of_clip
    found = {
        row: scores_with_intervals(scored.tasks, predictions, scored.labels, speakers)
        for row, predictions in scored.rows.items()
    }
    names = list(next(iter(found.values())))
    rows = [[_score_title(scored.tasks, name), *(_score_text(found[row][name]) for row in found)] for name in names]
    labelled = []
    for task in scored.tasks:
        known = int(fully_known(scored.labels[task.name]).sum())
        labelled.append([task.name, f"{known:,}", f"{labelled_speakers(scored.labels[task.name], speakers):,}"])
    return [
        HtmlTable(["score", *found], rows, "A higher CCC, UAR and S_MTL is better, and a lower MAE"),
        HtmlTable(["task", "clips", "speakers"], labelled, "The clips that have labels of a task"),
    ]


def _task_parts(task: Task, scored: ScoredSplit) -> list[Part]:
    known = fully_known(scored.labels[task.name])
    if not known.any():
        return [Paragraph(f"No clip of this split has a label of the task {task.name}.")]
    guesses, labels = scored.predictions[task.name][known], scored.labels[task.name][known]
    speakers = [name for name, is_known in zip(scored.speaker_of_clip, known, strict=True) if is_known]
    if task.kind == "classes":
        return _class_parts(task, guesses, labels)
    if task.kind == "intensities":
        return _intensity_parts(task, guesses, labels, speakers)
    correlation = "The nearer the points lie to the line, the better. One point per clip."
    return [
        HtmlFigure(plot_scalar(task, guesses, labels), f"Predicted {task.name} against true {task.name}. {correlation}")
    ]


def _class_parts(task: Task, probabilities: np.ndarray, labels: np.ndarray) -> list[Part]:
    counts = confusion_matrix(labels, probabilities.argmax(axis=1), labels=list(range(task.outputs)))
    found = class_reliability(probabilities, labels)
    return [
        HtmlFigure(
            plot_confusion(task.labels, counts),
            f"Confusion matrix of {task.name}: clips by true and predicted class, and the recall of each class",
        ),
        HtmlFigure(
            plot_reliability(found, "probability of the predicted class", "share of right predictions", "clips"),
            f"Reliability of {task.name}: how often a prediction is right, by its probability. The expected "
            f"calibration error is {found.error:.3f} ({BINS} bins).",
        ),
    ]


def _intensity_parts(task: Task, guesses: np.ndarray, labels: np.ndarray, speakers: list[str]) -> list[Part]:
    scores = ccc_by_label(task, guesses, labels, speakers)
    best_first = dict(sorted(scores.items(), key=lambda item: -item[1].value))
    strongest = confusion_matrix(labels.argmax(axis=1), guesses.argmax(axis=1), labels=list(range(task.outputs)))
    found = intensity_reliability(guesses, labels)
    return [
        HtmlFigure(
            plot_intervals(best_first, "CCC"), f"CCC of each label of {task.name}, with intervals over speakers"
        ),
        HtmlTable(
            ["label", "CCC"],
            [[label, _score_text(score)] for label, score in best_first.items()],
            "The same as numbers",
        ),
        HtmlFigure(
            plot_confusion(task.labels, strongest),
            f"Confusion matrix of the strongest {task.name}: clips by the label with the highest true and the highest "
            "predicted intensity, and the recall of each label",
        ),
        HtmlFigure(
            plot_reliability(found, "predicted intensity", "mean true intensity", "values"),
            f"Reliability of {task.name}: the mean true intensity by the predicted one, one value per clip and label. "
            f"The expected calibration error is {found.error:.3f} ({BINS} bins).",
        ),
    ]


def _group_parts(scored: ScoredSplit, overall: dict[str, Score]) -> list[Part]:
    speakers = scored.speaker_of_clip
    all_groups = {
        title: score_groups(scored.tasks, scored.predictions, scored.labels, speakers, names)
        for title, names in (scored.groups | groups_of_labels(scored.tasks, scored.labels)).items()
    }
    if not all_groups:
        return [
            Paragraph("The corpus has no column with 2 to 12 values, and no labels, by which clips could be grouped.")
        ]
    parts: list[Part] = [
        Paragraph(
            f"A score is given where at least {MIN_CLIPS} clips of at least {MIN_SPEAKERS} speakers have labels of its "
            "task. Groups differ in more than their name, such as in source, labels and loudness, so that a difference "
            "between two groups does not say what causes it. Within one true class, UAR is the recall of that class."
        )
    ]
    for title, groups in all_groups.items():
        parts.append(_group_table(title, groups, scored, overall))
    for task in scored.tasks:
        name = f"{task.name}_{_MAIN_METRIC[task.kind]}"
        shown = {
            f"{title.partition(' (')[0]}: {group.name}": group.scores[name]
            for title, groups in all_groups.items()
            for group in groups
            if name in group.scores
        }
        if shown:
            figure = plot_intervals(shown, _score_title(scored.tasks, name), overall[name])
            parts.append(HtmlFigure(figure, f"{_score_title(scored.tasks, name)} of each group, with intervals"))
    return parts


def _group_table(title: str, groups: list[Group], scored: ScoredSplit, overall: dict[str, Score]) -> HtmlTable:
    names = [name for name in overall if any(name in group.scores for group in groups)]
    rows: list[list[str | Cell]] = [
        [
            group.name,
            f"{group.clips:,}",
            f"{group.speakers:,}",
            *(_score_text(group.scores.get(name)) for name in names),
        ]
        for group in groups
    ]
    clips, speakers = len(scored.files), len(set(scored.speaker_of_clip))
    everyone = ["all clips", f"{clips:,}", f"{speakers:,}", *(_score_text(overall[name]) for name in names)]
    rows.append([Cell(text, bold=True) for text in everyone])
    left_out = clips - sum(group.clips for group in groups)
    note = f"; {_many(left_out, 'clip')} in no group" if left_out else ""
    columns = ["group", "clips", "speakers", *(_score_title(scored.tasks, name) for name in names)]
    return HtmlTable(columns, rows, f"By {title}{note}")


def _worst_clips(scored: ScoredSplit, recording: Callable[[int, str], HtmlAudio] | None) -> list[Part]:
    parts: list[Part] = []
    for task in scored.tasks:
        guesses, labels = scored.predictions[task.name], scored.labels[task.name]
        known = np.flatnonzero(fully_known(labels))
        if not len(known):
            continue
        errors = clip_errors(task, guesses[known], labels[known])
        rows = []
        for row in known[np.argsort(-errors, kind="stable")][:WORST_CLIPS]:
            name = scored.files[row] or f"clip {row + 1}"
            texts = _in_words(task, guesses[row], labels[row])
            players = [recording(int(row), name)] if recording is not None else []
            rows.append([name, *texts, *players])
        columns = ["file", "predicted", "right", *(["recording"] if recording is not None else [])]
        parts.append(HtmlTable(columns, rows, f"Worst clips of {task.name}: {_WORST[task.kind]}"))
    return parts or [Paragraph("No clip of this split has a label.")]


_WORST = {
    "intensities": "the largest mean difference between predicted and true intensities; the strongest two are shown",
    "scalar": "the largest difference between predicted and true value",
    "classes": "the lowest probability of the true class",
}


def clip_errors(task: Task, predictions: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How wrong each prediction is: the mean absolute difference, or one minus the probability of the true class.

    Args:
        task ([`Task`]).
        predictions (`np.ndarray`): `(clips, outputs)`, or `(clips,)` for a scalar.
        labels (`np.ndarray`): all of them known.

    Returns:
        `np.ndarray` of shape `(clips,)`: 0 or more.
    """
    if task.kind == "classes":
        return 1 - predictions[np.arange(len(labels)), labels]
    return np.abs(predictions - labels).reshape(len(labels), -1).mean(axis=1)


def _in_words(task: Task, prediction: np.ndarray, label: np.ndarray) -> tuple[str, str]:
    """What was predicted for one clip and what is right, such as `USA (0.91)` and `China (0.03)`."""
    if task.kind == "scalar":
        unit = f" {task.unit}" if task.unit else ""
        return f"{prediction:.1f}{unit}", f"{label:.1f}{unit}"
    if task.kind == "classes":
        guess, true = (f"{task.labels[index]} ({prediction[index]:.2f})" for index in (prediction.argmax(), int(label)))
        return guess, true
    return _strongest(task, prediction), _strongest(task, label)


def _strongest(task: Task, intensities: np.ndarray) -> str:
    first_two = np.argsort(-intensities, kind="stable")[:2]
    shown = [f"{task.labels[index]} {intensities[index]:.2f}" for index in first_two if intensities[index] > 0]
    return ", ".join(shown) or "none"


def _score_title(tasks: list[Task], name: str) -> str:
    units = {f"{task.name}_mae": task.unit for task in tasks if task.unit}
    return metric_title(name) + (f" ({units[name]})" if name in units else "")


def _score_text(score: Score | None) -> str:
    """A score and its interval, which moves into the next line where a table is narrow."""
    if score is None:
        return ""
    if np.isnan(score.value):
        return "–"
    if score.interval is None:
        return _number(score.value)
    low, high = map(_number, score.interval)
    return f"{_number(score.value)} ({low}{_NO_BREAK}to{_NO_BREAK}{high})"


def _number(value: float) -> str:
    """Three digits, and no minus sign where all of them are zero."""
    return f"{round(value, 3) + 0.0:.3f}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
