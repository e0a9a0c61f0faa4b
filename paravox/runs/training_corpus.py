"""The corpus of a training run: its settings, and its splits as a trainer takes them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from paravox.corpora.oversampling import oversample
from paravox.corpora.registry import load_corpus
from paravox.modeling.tasks import Task
from paravox.runs.program_settings import CorpusSettings
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

    Raises:
        CorpusError: if the corpus cannot be used.
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
            dataset, messages = dataset.skip_unreadable()
            for message in messages[:SHOWN_MESSAGES]:
                print(f"skipped: {message}")
            print(f"{split}: {len(messages)} clips skipped")
        datasets[split] = dataset
    if settings.shuffle_labels:
        datasets["train"] = datasets["train"].with_shuffled_labels(seed)
    return datasets
