"""Draws batches of one task each, with clips of about one length, the same in every run with the same seed."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import torch

from paravox.modeling.errors import ConfigError

# The task of a draw if its batch serves every task that its clips have labels of.
ALL_TASKS = "*"
ONE_TASK_BATCHING = ("proportional", "round_robin", "uniform")
TASK_BATCHING = (*ONE_TASK_BATCHING, "all_tasks")
# Clips are shuffled within a bucket: with more batches per bucket they are mixed better, with fewer there is less
# padding.
BATCHES_PER_BUCKET = 4
# The longest clips are few, and a bucket of that many batches would pad them a lot. It therefore ends where clips are
# shorter than this share of its longest clip.
LEAST_LENGTH = 0.8


class ClipDraw(NamedTuple):
    """One clip of a batch, as a sampler draws it.

    Args:
        index (`int`): the clip's row.
        task (`str`, *optional*): the task of its batch, or [`ALL_TASKS`]; None in an evaluation.
        epoch (`int`, *optional*, defaults to 0): the seed of a random crop or augmentation depends on it.
        counted (`bool`, *optional*, defaults to `True`): false for a repeated clip that only fills a process's share of
            a batch. Its labels are hidden from the loss.
    """

    index: int  # type: ignore[assignment]  # tuple has a method of this name
    task: str | None = None
    epoch: int = 0
    counted: bool = True


class OneTaskBatchSampler(torch.utils.data.Sampler[list[ClipDraw]]):
    """Draws batches that each belong to one task (Burst2Vec, appendix C), as a pure function of seed and epoch.

    Clips are sorted by length into buckets, shuffled within the buckets in each epoch, and cut into batches. With
    several processes, it draws global batches of `processes` times the batch size and yields their equal slices one
    after the other. If the slices are then distributed to the processes in turns, every process has the same task at
    the same step. Where a global batch cannot be divided evenly, repeated clips fill it, which are marked as not
    counted.

    The sampler has no `batch_size` and no `drop_last`, because with these accelerate would fill and drop batches across
    tasks.

    Args:
        clips_by_task (`dict`): per task, the rows with a known label.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_sizes (`dict`): per task, the largest number of clips in a process's batch.
        task_batching (`str`, *optional*, defaults to `"proportional"`): with `proportional`, every (clip, task) pair is
            drawn once per epoch. The others draw as many batches: with `round_robin` the tasks take turns, with
            `uniform` the task of each batch is drawn at random.
        length_buckets (`bool`, *optional*, defaults to `True`): put clips of about one length into a batch.
        max_batch_seconds (`float`, *optional*): the most seconds of audio in a process's batch, padding included.
        processes (`int`, *optional*, defaults to 1): the number of processes that share a global batch.
        seed (`int`, *optional*, defaults to 0): the seed of the shuffles.

    Raises:
        ConfigError: if a task has no clip, or a clip is longer than `max_batch_seconds`.
    """

    def __init__(
        self,
        clips_by_task: dict[str, np.ndarray],
        seconds: np.ndarray,
        batch_sizes: dict[str, int],
        task_batching: str = "proportional",
        length_buckets: bool = True,
        max_batch_seconds: float | None = None,
        processes: int = 1,
        seed: int = 0,
    ) -> None:
        if task_batching not in ONE_TASK_BATCHING:
            raise ConfigError(f"task_batching {task_batching!r}: use one of {', '.join(ONE_TASK_BATCHING)}")
        empty = [task for task, clips in clips_by_task.items() if not len(clips)]
        if empty:
            raise ConfigError(f"task {empty[0]!r} has no labelled clip to train on: remove the task or label some")
        self.task_batching = task_batching
        self.processes = processes
        self.seed = seed
        self.epoch = 0
        self._buckets = {
            task: length_sorted_buckets(
                clips, seconds, processes * batch_sizes[task], processes, length_buckets, max_batch_seconds
            )
            for task, clips in clips_by_task.items()
        }

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches are drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """The number of batches per epoch over all processes, which is the same in every epoch."""
        return self.processes * self._global_batches()

    def __iter__(self) -> Iterator[list[ClipDraw]]:
        for task, clips in self._plan():
            draws = [ClipDraw(int(clip), task, self.epoch) for clip in clips]
            missing = -len(draws) % self.processes
            draws += [draws[turn % len(draws)]._replace(counted=False) for turn in range(missing)]
            share = len(draws) // self.processes
            for start in range(0, len(draws), share):
                yield draws[start : start + share]

    def _global_batches(self) -> int:
        return sum(bucket.batches for buckets in self._buckets.values() for bucket in buckets)

    def _plan(self) -> Iterator[tuple[str, np.ndarray]]:
        """The global batches of the epoch, each with its task."""
        order = np.random.default_rng([self.seed, self.epoch])
        tasks = list(self._buckets)
        if self.task_batching == "proportional":
            batches = [(task, clips) for task in tasks for clips in self._task_batches(task, turn=0)]
            yield from (batches[position] for position in order.permutation(len(batches)))
            return
        streams = {task: self._endless_batches(task) for task in tasks}
        turns = cycle(tasks) if self.task_batching == "round_robin" else _drawn(tasks, order)
        for _ in range(self._global_batches()):
            task = next(turns)
            yield task, next(streams[task])

    def _task_batches(self, task: str, turn: int) -> list[np.ndarray]:
        """One pass over a task's clips, in an order that depends only on seed, epoch, task and turn."""
        generator = np.random.default_rng([self.seed, self.epoch, list(self._buckets).index(task), turn])
        batches = [
            batch
            for bucket in self._buckets[task]
            for batch in np.array_split(generator.permutation(bucket.clips), bucket.batches)
        ]
        return [batches[position] for position in generator.permutation(len(batches))]

    def _endless_batches(self, task: str) -> Iterator[np.ndarray]:
        turn = 0
        while True:
            yield from self._task_batches(task, turn)
            turn += 1


class AllTasksBatchSampler(OneTaskBatchSampler):
    """Draws batches that serve every task at once. Each clip with a label of any task is drawn once per epoch.

    Everything else is as in [`OneTaskBatchSampler`].

    Args:
        clips (`np.ndarray`): the rows with a known label of any task.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_size (`int`): the largest number of clips in a process's batch.
        settings: `length_buckets`, `max_batch_seconds`, `processes` and `seed`.
    """

    def __init__(self, clips: np.ndarray, seconds: np.ndarray, batch_size: int, **settings: Any) -> None:
        super().__init__({ALL_TASKS: clips}, seconds, {ALL_TASKS: batch_size}, **settings)


class Bucket:
    """Clips of about one length, and the number of batches into which they are cut."""

    def __init__(self, clips: np.ndarray, batch_size: int) -> None:
        self.clips = clips
        self.batches = -(-len(clips) // batch_size)


def length_sorted_buckets(
    clips: np.ndarray,
    seconds: np.ndarray,
    batch_size: int,
    processes: int = 1,
    length_buckets: bool = True,
    max_batch_seconds: float | None = None,
) -> list[Bucket]:
    """Cuts clips into buckets, from the longest to the shortest.

    The batches of a bucket hold at most `batch_size` clips, and no more than fit into the budget if all were as long as
    the bucket's longest clip. The number of batches therefore does not depend on how the bucket is shuffled. Its clips
    are spread evenly over its batches.

    Args:
        clips (`np.ndarray` of shape `(clips,)`): the rows to cut.
        seconds (`np.ndarray`): the length of every row of the corpus.
        batch_size (`int`): the largest number of clips in a global batch.
        processes (`int`, *optional*, defaults to 1): the number of processes that share a global batch.
        length_buckets (`bool`, *optional*, defaults to `True`): `False` puts all clips into one bucket.
        max_batch_seconds (`float`, *optional*): the budget of one process, padding included.

    Returns:
        list of [`Bucket`].

    Raises:
        ConfigError: if a single clip exceeds the budget.
    """
    # With a stable sort, clips of equal length keep the corpus's order on every platform.
    ordered = np.asarray(clips)[np.argsort(-seconds[clips], kind="stable")]
    buckets = []
    while len(ordered):
        longest = seconds[ordered[0]]
        size = batch_size
        if max_batch_seconds is not None and longest > 0:
            affordable = int(max_batch_seconds / longest)
            if not affordable:
                raise ConfigError(
                    f"a clip lasts {longest:.2f} s, more than max_batch_seconds of {max_batch_seconds:g}: raise it, or "
                    "crop clips with max_seconds"
                )
            size = min(size, affordable * processes)
        taken = len(ordered)
        if length_buckets:
            similar = int((seconds[ordered] >= LEAST_LENGTH * longest).sum())
            taken = max(size, min(BATCHES_PER_BUCKET * size, similar))
        buckets.append(Bucket(ordered[:taken], size))
        ordered = ordered[taken:]
    return buckets


class EvaluationBatchSampler(torch.utils.data.Sampler[list[ClipDraw]]):
    """Draws every clip once, the longest first, in batches of clips of about one length.

    With several processes, the first batches are repeated at the end until every process has equally many. The index of
    a clip says which results are repeats.

    Args:
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_size (`int`): the largest number of clips in a batch.
        max_batch_seconds (`float`, *optional*): the most seconds of audio in a batch, padding included.
        processes (`int`, *optional*, defaults to 1): the number of processes that share the batches.
    """

    def __init__(
        self, seconds: np.ndarray, batch_size: int, max_batch_seconds: float | None = None, processes: int = 1
    ) -> None:
        buckets = length_sorted_buckets(
            np.arange(len(seconds)), seconds, batch_size, max_batch_seconds=max_batch_seconds
        )
        batches = [batch for bucket in buckets for batch in np.array_split(bucket.clips, bucket.batches)]
        batches += batches[:1] * (-len(batches) % processes)
        self._batches = [[ClipDraw(int(clip)) for clip in batch] for batch in batches]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[ClipDraw]]:
        return iter(self._batches)


def padding_share(batches: list[list[ClipDraw]], seconds: np.ndarray) -> float:
    """The share of the audio in batches that is padding, 0..1.

    Args:
        batches (list of lists of [`ClipDraw`]): as a sampler draws them.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
    """
    lengths = [seconds[[draw.index for draw in batch]] for batch in batches]
    padded = sum(len(batch) * batch.max() for batch in lengths)
    return 1 - sum(batch.sum() for batch in lengths) / padded if padded else 0.0


def _drawn(tasks: list[str], generator: np.random.Generator) -> Iterator[str]:
    while True:
        yield tasks[generator.integers(len(tasks))]
