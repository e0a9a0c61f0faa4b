"""Draws batches of one task each, with clips of about one length, the same in every run with the same seed."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import torch

from paravox.modeling.errors import ConfigError

# The task of a draw if its batch serves every task that its clips have labels of. No task has a name with outer blanks.
ALL_TASKS = " all tasks "
ONE_TASK_BATCHING = ("proportional", "round_robin", "uniform")
TASK_BATCHING = (*ONE_TASK_BATCHING, "all_tasks")
# Clips are shuffled within a bucket: with more batches per bucket they are mixed better, with fewer there is less
# padding.
BATCHES_PER_BUCKET = 4
# To so many lengths are batches padded if their shapes are to repeat: a compiler or the memory of a GPU then sees few
# shapes, and there is little more padding than without.
PADDED_LENGTHS = 12
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
        padded_seconds (`float`, *optional*): the length to which its batch is padded. By default that of the batch's
            longest clip.
    """

    index: int  # type: ignore[assignment]  # tuple has a method of this name
    task: str | None = None
    epoch: int = 0
    counted: bool = True
    padded_seconds: float | None = None


class GlobalBatch(NamedTuple):
    """The clips of one step of all processes.

    Args:
        task (`str`): of the batch.
        clips (sequence of `int`): their rows.
        size (`int`, *optional*, defaults to 0): the number of clips up to which repeated clips fill the batch.
        padded_seconds (`float`, *optional*): as in [`ClipDraw`].
    """

    task: str
    clips: Any
    size: int = 0
    padded_seconds: float | None = None


class OneTaskBatchSampler(torch.utils.data.Sampler[list[ClipDraw]]):
    """Draws batches that each belong to one task (Burst2Vec, appendix C), as a pure function of seed and epoch.

    Clips are sorted by length into buckets, shuffled within the buckets in each epoch, and cut into batches. With
    several processes, it draws global batches of `processes` times the batch size and yields their equal slices one
    after the other. If the slices are then distributed to the processes in turns, every process has the same task at
    the same step. Where a global batch cannot be divided evenly, repeated clips fill it, which are marked as not
    counted.

    With `pad_to_buckets`, the batches of a bucket all have one shape: as many clips, which repeated clips fill up as
    above, and one of at most [`PADDED_LENGTHS`] lengths.

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
        pad_to_buckets (`bool`, *optional*, defaults to `False`): let the shapes of batches repeat.

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
        pad_to_buckets: bool = False,
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
        self.pad_to_buckets = pad_to_buckets

        def cut(seconds: np.ndarray) -> dict[str, list[Bucket]]:
            return {
                task: length_sorted_buckets(
                    # From the longest to the shortest also where many are padded to one length.
                    clips[np.argsort(-given_seconds[clips], kind="stable")],
                    seconds,
                    processes * batch_sizes[task],
                    processes,
                    length_buckets,
                    max_batch_seconds,
                )
                for task, clips in clips_by_task.items()
            }

        given_seconds = np.asarray(seconds)
        self._buckets = cut(given_seconds)
        if pad_to_buckets:
            lengths = padded_lengths([bucket for buckets in self._buckets.values() for bucket in buckets])
            # Rows without a label may be longer than all others; they are not drawn.
            places = np.minimum(np.searchsorted(lengths, given_seconds), len(lengths) - 1)
            self._buckets = cut(lengths[places])

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch whose batches are drawn next."""
        self.epoch = epoch

    def __len__(self) -> int:
        """The number of batches per epoch over all processes, which is the same in every epoch."""
        return self.processes * self._global_batches()

    def __iter__(self) -> Iterator[list[ClipDraw]]:
        for batch in self._plan():
            draws = [
                ClipDraw(int(clip), batch.task, self.epoch, padded_seconds=batch.padded_seconds) for clip in batch.clips
            ]
            size = max(batch.size, len(draws))
            missing = size - len(draws) + -size % self.processes
            draws += [draws[turn % len(draws)]._replace(counted=False) for turn in range(missing)]
            share = len(draws) // self.processes
            for start in range(0, len(draws), share):
                yield draws[start : start + share]

    def _global_batches(self) -> int:
        return sum(bucket.batches for buckets in self._buckets.values() for bucket in buckets)

    def shapes(self) -> set[tuple[int, float]]:
        """The shapes of the batches if their shapes repeat: the numbers of clips of a process, and seconds."""
        return {
            (-(-bucket.largest_batch // self.processes), bucket.longest)
            for buckets in self._buckets.values()
            for bucket in buckets
        }

    def _plan(self) -> Iterator[GlobalBatch]:
        """The global batches of the epoch."""
        order = np.random.default_rng([self.seed, self.epoch])
        tasks = list(self._buckets)
        if self.task_batching == "proportional":
            batches = [batch for task in tasks for batch in self._task_batches(task, turn=0)]
            yield from (batches[position] for position in order.permutation(len(batches)))
            return
        streams = {task: self._endless_batches(task) for task in tasks}
        turns = cycle(tasks) if self.task_batching == "round_robin" else _drawn(tasks, order)
        for _ in range(self._global_batches()):
            yield next(streams[next(turns)])

    def _task_batches(self, task: str, turn: int) -> list[GlobalBatch]:
        """One pass over a task's clips, in an order that depends only on seed, epoch, task and turn."""
        generator = np.random.default_rng([self.seed, self.epoch, list(self._buckets).index(task), turn])
        batches = [
            GlobalBatch(task, clips, *((bucket.largest_batch, bucket.longest) if self.pad_to_buckets else ()))
            for bucket in self._buckets[task]
            for clips in np.array_split(generator.permutation(bucket.clips), bucket.batches)
        ]
        return [batches[position] for position in generator.permutation(len(batches))]

    def _endless_batches(self, task: str) -> Iterator[GlobalBatch]:
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
        settings: `length_buckets`, `max_batch_seconds`, `processes`, `seed` and `pad_to_buckets`.
    """

    def __init__(self, clips: np.ndarray, seconds: np.ndarray, batch_size: int, **settings: Any) -> None:
        super().__init__({ALL_TASKS: clips}, seconds, {ALL_TASKS: batch_size}, **settings)


class Bucket:
    """Clips of about one length, the number of batches into which they are cut, and the size of the largest batch.

    Args:
        clips (`np.ndarray` of shape `(clips,)`): their rows.
        batch_size (`int`): the largest number of clips in a batch.
        longest (`float`): the length of the longest clip in seconds.
    """

    def __init__(self, clips: np.ndarray, batch_size: int, longest: float) -> None:
        self.clips = clips
        self.longest = longest
        self.batches = -(-len(clips) // batch_size)
        self.largest_batch = -(-len(clips) // self.batches)


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
        longest = float(seconds[ordered[0]])
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
        buckets.append(Bucket(ordered[:taken], size, longest))
        ordered = ordered[taken:]
    return buckets


def padded_lengths(buckets: list[Bucket], count: int = PADDED_LENGTHS) -> np.ndarray:
    """The lengths to which batches are padded, such that there is as little padding as so few lengths allow.

    Each bucket is padded to the next length that is not below its longest clip. The choice is exact, by dynamic
    programming over the buckets' lengths.

    Args:
        buckets (list of [`Bucket`]): of all tasks.
        count (`int`, *optional*, defaults to [`PADDED_LENGTHS`]): the largest number of lengths.

    Returns:
        `np.ndarray` of shape `(lengths,)`: in seconds, ascending.
    """
    lengths, place = np.unique([bucket.longest for bucket in buckets], return_inverse=True)
    clips = np.cumsum(np.bincount(place, weights=[len(bucket.clips) for bucket in buckets]))
    # cost[i]: the least audio in the i + 1 shortest lengths, padding included; choices[n][i]: how many of these lengths
    # are padded to a shorter one than the last, if the last of n + 1 chosen lengths is the one at i.
    cost = lengths * clips
    choices = [np.zeros(len(lengths), int)]
    below = np.concatenate([[0.0], clips])
    for _ in range(min(count, len(lengths)) - 1):
        so_far = np.concatenate([[0.0], cost])
        options = [so_far[: i + 1] + lengths[i] * (clips[i] - below[: i + 1]) for i in range(len(lengths))]
        choices.append(np.array([int(option.argmin()) for option in options]))
        cost = np.array([option.min() for option in options])
    chosen, last = [], len(lengths)
    for choice in reversed(choices):
        if last:
            chosen.append(lengths[last - 1])
            last = choice[last - 1]
    return np.array(chosen[::-1])


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
    """The share of the audio in batches that is padding, 0..1. Repeated clips that only fill a batch count as padding.

    Args:
        batches (list of lists of [`ClipDraw`]): as a sampler draws them.
        seconds (`np.ndarray` of shape `(clips,)`): the length of every row.
    """
    real = padded = 0.0
    for batch in batches:
        lengths = seconds[[draw.index for draw in batch]]
        real += lengths[[draw.counted for draw in batch]].sum()
        padded += len(batch) * max(lengths.max(), batch[0].padded_seconds or 0.0)
    return 1 - real / padded if padded else 0.0


def _drawn(tasks: list[str], generator: np.random.Generator) -> Iterator[str]:
    while True:
        yield tasks[generator.integers(len(tasks))]
