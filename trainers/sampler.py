"""Batches of one task each, of clips of about one length, the same on every run with the same seed."""

from collections.abc import Iterator
from itertools import cycle
from typing import NamedTuple

import numpy as np
import torch

from paravox.modeling.errors import ConfigError

# The task of a draw whose batch serves every task that its clips have labels of.
ALL_TASKS = "*"
ONE_TASK_BATCHING = ("proportional", "round_robin", "uniform")
TASK_BATCHING = (*ONE_TASK_BATCHING, "all_tasks")
# Within a bucket clips are shuffled: more batches a bucket mix better, fewer pad less.
BATCHES_PER_BUCKET = 4
# Among the longest clips, which are few, a bucket of that many batches would pad a lot: it ends where clips get shorter than
# this share of its longest.
LEAST_LENGTH = 0.8


class ClipDraw(NamedTuple):
    """One clip of a batch, as a sampler asks for it.

    Args:
        index (`int`): the clip's row.
        task (`str`, *optional*): the task of its batch, or [`ALL_TASKS`]; None when evaluating.
        epoch (`int`, *optional*): mixed into whatever is random about the clip.
        counted (`bool`, *optional*): false for a repeated clip that only fills a process's share of a batch: its labels
            are hidden from the loss.
    """

    index: int
    task: str | None = None
    epoch: int = 0
    counted: bool = True


class OneTaskBatchSampler(torch.utils.data.Sampler[list[ClipDraw]]):
    """Draws batches that each belong to one task (Burst2Vec, appendix C), as a pure function of seed and epoch.

    Clips are sorted by length into buckets, shuffled within them each epoch and cut into batches. With several
    processes, a global batch of `processes` times the batch size is drawn and its equal slices follow each other, so
    that a sharding of batches by turns gives every process the same task at the same step; where a global batch does
    not divide, repeated clips fill it, which are marked as not counted.

    It has no `batch_size` and no `drop_last`: with those, accelerate would fill and drop batches across tasks.

    Args:
        clips_by_task (`dict`): per task, the rows with a known label.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_sizes (`dict`): per task, the most clips a process gets in a batch.
        task_batching (`str`, *optional*, defaults to `"proportional"`): `proportional`: every (clip, task) pair once an
            epoch. As many batches as that, but with the tasks by turns: `round_robin`; or each drawn at random:
            `uniform`.
        length_buckets (`bool`, *optional*, defaults to `True`): without, a batch holds clips of any length.
        max_batch_seconds (`float`, *optional*): at most so many seconds of audio in a process's batch, padding counted.
        processes (`int`, *optional*, defaults to 1): how many processes share a batch.
        seed (`int`, *optional*, defaults to 0): of the shuffles.

    Raises:
        ConfigError: if a task has no clip, or a clip is longer than the budget.
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
        self.epoch = epoch

    def __len__(self) -> int:
        """Batches an epoch over all processes: the same every epoch."""
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
        """The epoch's global batches, each with its task."""
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
        """One pass over a task's clips, in an order that depends on nothing but seed, epoch, task and turn."""
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
    """Draws batches that serve every task at once, of clips that carry any label: each clip once an epoch.

    Everything else is as in [`OneTaskBatchSampler`].

    Args:
        clips (`np.ndarray`): the rows with a known label of any task.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_size (`int`): the most clips a process gets in a batch.
        settings: `length_buckets`, `max_batch_seconds`, `processes` and `seed`.
    """

    def __init__(self, clips: np.ndarray, seconds: np.ndarray, batch_size: int, **settings) -> None:
        super().__init__({ALL_TASKS: clips}, seconds, {ALL_TASKS: batch_size}, **settings)


class Bucket:
    """Clips of about one length, and into how many batches they are cut."""

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
    """Cuts clips into buckets from the longest to the shortest.

    A bucket's batches hold at most `batch_size` clips, and no more than fit the budget at the bucket's longest clip:
    so the number of batches does not depend on how the bucket is shuffled. The clips left over are spread evenly.

    Args:
        clips (`np.ndarray` of shape `(clips,)`): rows.
        seconds (`np.ndarray`): the length of every row of the corpus.
        batch_size (`int`): the most clips of a global batch.
        processes (`int`, *optional*, defaults to 1): how many share a global batch; the budget is one process's.
        length_buckets (`bool`, *optional*, defaults to `True`): `False` makes one bucket of all.
        max_batch_seconds (`float`, *optional*): the budget of a process, padding counted.

    Raises:
        ConfigError: if a clip alone exceeds the budget.
    """
    # A stable sort: clips of one length keep the corpus's order, whatever the platform.
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
    """Every clip once, the longest first, in batches of clips of about one length.

    With several processes the last round is filled with repeats; whoever gathers the results tells them by their index.

    Args:
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
        batch_size (`int`): the most clips a batch.
        max_batch_seconds (`float`, *optional*): at most so many seconds of audio in a batch, padding counted.
        processes (`int`, *optional*, defaults to 1): among how many the batches are dealt.
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
    """Which share of the audio in batches is padding, 0..1."""
    lengths = [seconds[[draw.index for draw in batch]] for batch in batches]
    padded = sum(len(batch) * batch.max() for batch in lengths)
    return 1 - sum(batch.sum() for batch in lengths) / padded if padded else 0.0


def _drawn(tasks: list[str], generator: np.random.Generator) -> Iterator[str]:
    while True:
        yield tasks[generator.integers(len(tasks))]
