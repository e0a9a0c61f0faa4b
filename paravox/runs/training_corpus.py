"""The corpus of a training run: its settings, and its splits as a trainer takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from paravox.corpora.oversampling import oversample
from paravox.corpora.registry import load_corpus
from paravox.modeling.errors import AudioError, CorpusError
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task
from paravox.runs.program_settings import CorpusSettings
from paravox.runs.wording import many
from paravox.trainers.clip_sources import Augmentation
from paravox.trainers.multi_task_dataset import MultiTaskDataset

SHOWN_MESSAGES = 3


def read_splits(
    settings: CorpusSettings,
    tasks: list[Task],
    seed: int,
    sampling_rate: int,
    load: Callable[[Any], np.ndarray] | None = None,
    max_seconds: float | None = None,
    augmentation: Augmentation | None = None,
    longest_seconds: float | None = None,
    decode: bool = False,
) -> dict[str, MultiTaskDataset]:
    """The splits of a corpus by name, with Train oversampled and shuffled as the settings ask for.

    Args:
        settings ([`CorpusSettings`]): which corpus.
        tasks (list of [`Task`]): the labels to read.
        seed (`int`): of oversampling, shuffling, crops and augmentation.
        sampling_rate (`int`): of the clips, in hertz.
        load (`Callable`, *optional*): reads a clip, as in [`Recordings`].
        max_seconds (`float`, *optional*): longer clips of Train are cropped to this length.
        augmentation (`Callable`, *optional*): changes the clips of Train.
        longest_seconds (`float`, *optional*): the longest clip that the encoder takes.
        decode (`bool`, *optional*, defaults to `False`): decode every clip of every split, and not only its header.

    Raises:
        CorpusError: if the corpus cannot be used.
        AudioError: if a clip of any split cannot be used, unless `skip_bad` is set.
    """
    corpus = load_corpus(settings.corpus, settings.data_dir, tasks, settings.audio, **(settings.corpus_options or {}))
    if settings.oversample:
        corpus["train"] = oversample(corpus["train"], tasks, settings.max_repeats, seed)
    datasets = {}
    for split, clips in corpus.items():
        for_train: dict[str, Any] = {"max_seconds": max_seconds, "augmentation": augmentation}
        changes = for_train if split == "train" else {}
        dataset = MultiTaskDataset(clips, tasks, load, sampling_rate, seed=seed, **changes)
        if settings.skip_bad:
            dataset, messages = dataset.skip_unreadable(longest_seconds)
            for message in messages[:SHOWN_MESSAGES]:
                print(f"skipped: {message}")
            print(f"{split}: {many(len(messages), 'clip')} skipped")
        datasets[split] = dataset
    advice = "correct them, or leave them out with --skip_bad true"
    check_clips(datasets, longest_seconds, decode and not settings.skip_bad, advice)
    check_labels_of_splits(datasets, tasks)
    if settings.shuffle_labels:
        datasets["train"] = datasets["train"].with_shuffled_labels(seed)
    return datasets


def check_clips(
    datasets: dict[str, MultiTaskDataset],
    longest_seconds: float | None,
    decode: bool = False,
    advice: str = "correct them, or remove them from the corpus",
) -> None:
    """Raises [`AudioError`] that names the clips that the run could not use, before it has learned anything.

    Args:
        datasets (`dict` of [`MultiTaskDataset`]): by split.
        longest_seconds (`float`, *optional*): the longest clip that the encoder takes.
        decode (`bool`, *optional*, defaults to `False`): decode every clip, and not only its header.
        advice (`str`, *optional*): what to do about them.
    """
    found = {
        split: [fault for fault in dataset.faults_of_clips(longest_seconds, decode) if fault is not None]
        for split, dataset in datasets.items()
    }
    faults = [fault for of_split in found.values() for fault in of_split]
    if faults:
        counts = ", ".join(f"{len(of_split):,} of {split}" for split, of_split in found.items() if of_split)
        shown = "; ".join(faults[:SHOWN_MESSAGES])
        raise AudioError(f"{len(faults):,} clips cannot be used ({counts}): {shown}: {advice}")


def check_labels_of_splits(datasets: dict[str, MultiTaskDataset], tasks: list[Task]) -> None:
    """Looks at the labels of each split, and says which tasks Val and Test cannot score.

    Raises:
        CorpusError: if Train has no labels of a task, or a split has no clips left.
    """
    empty = [split for split, dataset in datasets.items() if not len(dataset)]
    if empty:
        raise CorpusError(f"no clip of {empty[0]} can be used: correct the files, or leave that split out")
    for task in tasks:
        if not len(datasets["train"].labelled_clips(task.name)):
            raise CorpusError(
                f"Train has no clip with a label of task {task.name!r}: add labels, or leave the task out"
            )
        for split, dataset in datasets.items():
            if not fully_known(dataset.labels[task.name]).any():
                print(f"{split} has no labels of {task.name}, so its scores are left out")
            elif task.kind == "classes" and split == "train":
                counts = np.bincount(
                    dataset.labels[task.name][dataset.labelled_clips(task.name)], minlength=task.outputs
                )
                absent = [label for label, count in zip(task.labels, counts, strict=True) if not count]
                if absent:
                    print(f"train has no clip of {', '.join(absent)} ({task.name}), so the model will not know it")
