"""All corpora by name, and one way to open them for every program.

To add a corpus, write a reader in a file of its own, such as `masc.py`, and give it a line in `CORPORA`.
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, DatasetDict

from paravox.corpora import (
    acted_corpora,
    class_folders,
    esd,
    exvo,
    iemocap,
    masc,
    metadata_csv,
    msp_improv,
    msp_podcast,
    saved_dataset,
)
from paravox.corpora.doubles import check_doubles
from paravox.corpora.splitting import datasets_by_split, split_clips
from paravox.modeling.errors import ConfigError, CorpusError, did_you_mean
from paravox.modeling.tasks import Task


@dataclass(frozen=True)
class Corpus:
    """A corpus that can be opened by its name.

    Args:
        read (`Callable`): the reader, which takes `data_dir` and, if it needs them, `tasks`; its other arguments are
            the options of the corpus. It returns one dataset per split, or, for an emotion corpus, one dataset with the
            columns `path`, `speaker`, `emotion` and perhaps `split` or `session`.
        emotions (tuple of `str`, *optional*): the label set of an emotion corpus, which has one emotion per clip.
    """

    read: Callable[..., Dataset | DatasetDict]
    emotions: tuple[str, ...] | None = None

    @property
    def arguments(self) -> set[str]:
        """What the reader takes beside the folder."""
        return set(inspect.signature(self.read).parameters) - {"data_dir"}


CORPORA = {
    "exvo": Corpus(exvo.read_exvo),
    "metadata_csv": Corpus(metadata_csv.read_metadata_csv),
    "class_folders": Corpus(class_folders.read_class_folders),
    "dataset": Corpus(saved_dataset.read_dataset),
    "iemocap": Corpus(iemocap.read_iemocap, iemocap.LABELS),
    "msp_improv": Corpus(msp_improv.read_msp_improv, msp_improv.LABELS),
    "msp_podcast": Corpus(msp_podcast.read_msp_podcast, msp_podcast.LABELS),
    "masc": Corpus(masc.read_masc, masc.LABELS),
    "esd": Corpus(esd.read_esd, esd.LABELS),
    "emodb": Corpus(acted_corpora.EMODB.read, acted_corpora.EMODB.labels),
    "ased": Corpus(acted_corpora.ASED.read, acted_corpora.ASED.labels),
    "turev": Corpus(acted_corpora.TUREV.read, acted_corpora.TUREV.labels),
    "ravdess": Corpus(acted_corpora.RAVDESS.read, acted_corpora.RAVDESS.labels),
}
EMOTION_CORPORA = tuple(name for name, corpus in CORPORA.items() if corpus.emotions)
# What programs give to a reader, and not the user.
NO_OPTIONS = {"tasks", "to_train"}
SPLIT_OPTIONS = set(inspect.signature(split_clips).parameters) - {"clips"}


def load_corpus(
    corpus: str,
    data_dir: str | Path,
    tasks: Sequence[Task] | None = None,
    audio: str = "provided",
    to_train: bool = True,
    **options: Any,
) -> DatasetDict:
    """Opens a corpus with its splits.

    Args:
        corpus (`str`): a key of `CORPORA`. `metadata_csv` is a folder with that file; `class_folders` is one with a
            sub-folder per label; `dataset` is what `save_to_disk` wrote, Parquet, or a name on the Hub.
        data_dir (`str` or `Path`): the folder of the corpus.
        tasks (list of [`Task`], *optional*): the labels that the corpus must have. An emotion corpus has those of a
        task
            named `emotion` of kind `classes`.
        audio (`str`, *optional*, defaults to `"provided"`): which recordings of ExVo, the processed ones or the `raw`
            ones. No other corpus has this choice.
        to_train (`bool`, *optional*, defaults to `True`): whether a model will be trained. With `False`, the corpus
            need not have clips in Train.
        options: those of the reader, such as `no_majority`, and for an emotion corpus those of [`split_clips`].

    Returns:
        `datasets.DatasetDict` of `train`, `validation` and `test`, whichever there are.

    Raises:
        ConfigError: if there is no such corpus, or it has no such option.
        CorpusError: if the corpus cannot be read, its labels do not fit the tasks, or [`check_doubles`] finds a
            recording or a speaker in two splits.
    """
    entry = find_corpus(corpus)
    tasks = list(tasks or ())
    known = (entry.arguments - NO_OPTIONS) | (SPLIT_OPTIONS if entry.emotions else set())
    check_options(corpus, options, known)
    given = {"tasks": tasks, "audio": audio, "to_train": to_train, **options}
    clips = entry.read(data_dir, **{name: value for name, value in given.items() if name in entry.arguments})
    if entry.emotions:
        check_emotion_tasks(corpus, clips, tasks)
        clips = split_clips(clips, **{name: value for name, value in options.items() if name in SPLIT_OPTIONS})
    if to_train and "train" not in clips:
        raise CorpusError(
            f"{data_dir} has no clips in Train (it has {', '.join(clips)}), which training needs: add some"
        )
    check_doubles(data_dir, clips, tasks)
    return clips


def read_corpus(name: str, data_dir: str | Path, **options: Any) -> tuple[Dataset, Task]:
    """Opens an emotion corpus for pre-finetuning, before it is split.

    Args:
        name (`str`): one of `EMOTION_CORPORA`.
        data_dir (`str` or `Path`): the folder of the corpus.
        options: those of its reader, such as `no_majority`.

    Returns:
        the clips with `path`, `speaker`, `emotion` and perhaps `split` or `session`; and the task that predicts the
        emotion. The task has the name of the corpus and its whole label set, whatever occurs.

    Raises:
        ConfigError: if there is no such corpus, it has no emotions, or it has no such option.
        CorpusError: if the corpus cannot be read.
    """
    entry = find_corpus(name)
    if not entry.emotions:
        raise ConfigError(
            f"corpus {name!r} does not have one emotion per clip, as pre-finetuning needs: "
            f"use one of {', '.join(EMOTION_CORPORA)}"
        )
    check_options(name, options, entry.arguments)
    clips = entry.read(data_dir, **options)
    own_splits = datasets_by_split(clips.to_pandas()) if "split" in clips.column_names else {"the corpus": clips}
    check_doubles(data_dir, own_splits, emotion_tasks(name))
    return clips, Task(name, kind="classes", labels=labels_of(entry, clips))


def find_corpus(name: str) -> Corpus:
    """Looks up a corpus.

    Raises:
        ConfigError: if there is no corpus of this name. The message has the nearest name.
    """
    if name not in CORPORA:
        raise ConfigError(f"corpus {name!r} is not known: {did_you_mean(name, CORPORA)}")
    return CORPORA[name]


def emotion_tasks(corpus: str) -> list[Task]:
    """Returns the one task that an emotion corpus brings, with its label set; for any other corpus, no task."""
    emotions = find_corpus(corpus).emotions
    return [Task("emotion", kind="classes", labels=emotions)] if emotions else []


def labels_of(corpus: Corpus, clips: Dataset) -> tuple[str, ...]:
    """The label set of an emotion corpus, and behind it what else occurs, because an option may keep raw codes."""
    return (*corpus.emotions, *sorted(set(clips["emotion"]) - set(corpus.emotions)))


def check_options(corpus: str, options: Iterable[str], known: set[str]) -> None:
    """Raises a [`ConfigError`] that names the options of a corpus if one is unknown."""
    for option in options:
        if option not in known:
            has = f"its options are {', '.join(sorted(known))}" if known else "it has none"
            raise ConfigError(f"corpus {corpus!r} has no option {option!r}: {has}")


def check_emotion_tasks(corpus: str, clips: Dataset, tasks: Iterable[Task]) -> None:
    """Raises a [`CorpusError`] that names the label set of an emotion corpus if a task asks for other labels."""
    labels = ", ".join(labels_of(CORPORA[corpus], clips))
    for task in tasks:
        columns = task.labels if task.kind == "intensities" else [task.name]
        missing = [column for column in columns if column not in clips.column_names]
        if missing or task.name == "emotion" and task.kind != "classes":
            raise CorpusError(
                f"task {task.name!r} of kind {task.kind!r}: corpus {corpus!r} has one emotion per clip instead: "
                f"use the task {{name: emotion, kind: classes, labels: [{labels}]}}"
            )
        unknown = sorted(set(clips["emotion"]) - set(task.labels)) if task.name == "emotion" else []
        if unknown:
            raise CorpusError(
                f"task 'emotion' has no label {', '.join(unknown)}, which corpus {corpus!r} has: "
                f"give it the labels [{labels}]"
            )
