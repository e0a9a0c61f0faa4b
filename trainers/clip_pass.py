"""One pass of a model over many clips, in batches of about one length, with results in the order of the clips."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from .sampler import ClipDraw, EvaluationBatchSampler

if TYPE_CHECKING:
    from typing_extensions import Self

    from .multi_task_arguments import MultiTaskTrainingArguments

T = TypeVar("T")
Step = Callable[[Any, dict[str, torch.Tensor]], dict[str, torch.Tensor]]
"""Takes a model and the inputs of a batch, and returns named results, each `(batch, ...)`."""


class Clips(Protocol):
    """What a pass runs over, such as a [`MultiTaskDataset`]."""

    @property
    def seconds(self) -> np.ndarray:
        """The length of each clip, `(clips,)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, draw: ClipDraw) -> Any: ...


@dataclass(frozen=True)
class PassSettings:
    """Where a pass runs, and in which batches.

    Args:
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): the model is moved there.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the computation. In half precision the
            weights stay as they are and torch's autocast chooses what runs in it.
        batch_size (`int`, *optional*, defaults to 256): the largest number of clips in a batch.
        max_batch_seconds (`float`, *optional*): the most seconds of audio in a batch, padding included. Where a clip is
            longer than that, the longest clip gets a batch of its own and its length is the limit for all batches.
        num_workers (`int`, *optional*, defaults to 0): processes that read clips. With 0, a thread of this process
            reads one batch ahead.
        prefetch_factor (`int`, *optional*): how many batches each worker reads ahead.
        show_progress (`bool`, *optional*, defaults to `True`): show one line with the time left.
    """

    device: str | torch.device = "cpu"
    dtype: torch.dtype = torch.float32
    batch_size: int = 256
    max_batch_seconds: float | None = None
    num_workers: int = 0
    prefetch_factor: int | None = None
    show_progress: bool = True

    @classmethod
    def from_arguments(cls, args: "MultiTaskTrainingArguments") -> "Self":
        """The settings of an evaluation in a training run.

        Args:
            args ([`MultiTaskTrainingArguments`]): of the run.
        """
        return cls(
            device=args.device,
            dtype=torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else torch.float32,
            batch_size=args.per_device_eval_batch_size,
            max_batch_seconds=args.max_batch_seconds,
            num_workers=args.dataloader_num_workers,
            prefetch_factor=args.dataloader_prefetch_factor,
            show_progress=not args.disable_tqdm,
        )


def pass_over_clips(
    model: nn.Module,
    clips: Clips,
    collate: Callable[[list[Any]], dict[str, Any]],
    step: Step,
    settings: PassSettings,
    title: str = "encoding",
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Runs a model once over every clip in this process, without gradient.

    Args:
        model (`nn.Module`): moved to the device of the settings, and put into evaluation mode for the pass.
        clips ([`Clips`]): the clips; each is read when its batch is due.
        collate (`Callable`): turns a list of clips that were read into a batch, whose `index` `(batch,)` holds their
            rows.
        step ([`Step`]): gets the model and the batch without its `index`.
        settings ([`PassSettings`]): where the pass runs, and in which batches.
        title (`str`, *optional*, defaults to `"encoding"`): printed before the line of progress.

    Yields:
        For each batch, the longest clips first, the rows `(batch,)` and the results as arrays `(batch, ...)`, float32
        where they are floats.
    """
    budget = settings.max_batch_seconds
    if budget is not None and len(clips):
        budget = max(budget, float(clips.seconds.max()))
    sampler = EvaluationBatchSampler(clips.seconds, settings.batch_size, budget)
    loader = DataLoader(
        clips,
        batch_sampler=sampler,
        collate_fn=collate,
        num_workers=settings.num_workers,
        prefetch_factor=settings.prefetch_factor,
        pin_memory=torch.device(settings.device).type == "cuda",
        generator=own_generator(),
    )
    with tqdm(total=len(clips), desc=title, unit="clip", leave=False, disable=not settings.show_progress) as progress:
        batches = loader if settings.num_workers else read_ahead(loader)
        for rows, results in run_batches(model, batches, step, settings.device, settings.dtype):
            yield rows, results
            progress.update(len(rows))


def run_batches(
    model: nn.Module,
    batches: Iterable[dict[str, Any]],
    step: Step,
    device: str | torch.device,
    dtype: torch.dtype = torch.float32,
    gather: Callable[[torch.Tensor, int], torch.Tensor] | None = None,
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Runs a model over batches: the inner loop of [`pass_over_clips`] and of the trainer's evaluation.

    Args:
        model (`nn.Module`): as in [`pass_over_clips`].
        batches (iterable of `dict`): each with an `index` `(batch,)`.
        step ([`Step`]): gets the model and the batch without its `index`.
        device (`str` or `torch.device`): where the model runs.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the computation, as in [`PassSettings`].
        gather (`Callable`, *optional*): joins the rows of all processes. It takes a tensor and the number that fills
            the places of missing rows; rows whose `index` is below 0 are then left out.

    Yields:
        The same as [`pass_over_clips`], in the order of the batches.
    """
    device = torch.device(device)
    model.to(device)
    was_training = model.training
    model.eval()
    try:
        for batch in batches:
            inputs = {name: values.to(device, non_blocking=True) for name, values in batch.items()}
            index = inputs.pop("index")
            # In older Transformers, some encoders draw which layers to skip even where they skip none.
            with torch.random.fork_rng(devices=()), torch.no_grad():
                with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                    outputs = step(model, inputs)
            if gather is not None:
                index = gather(index, -1)
                outputs = {name: gather(values, 0) for name, values in outputs.items()}
            rows = index.cpu().numpy()
            yield rows[rows >= 0], {name: _as_array(values)[rows >= 0] for name, values in outputs.items()}
    finally:
        model.train(was_training)


def read_ahead(batches: Iterable[T]) -> Iterator[T]:
    """The same batches, each made in a thread while the one before it is being used."""
    coming = iter(batches)
    end: Any = object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        following = pool.submit(next, coming, end)
        while (batch := following.result()) is not end:
            following = pool.submit(next, coming, end)
            yield batch


def in_row_order(results: Iterable[tuple[np.ndarray, dict[str, np.ndarray]]], clips: int) -> dict[str, np.ndarray]:
    """Joins the results of a pass.

    Args:
        results: from [`pass_over_clips`] or [`run_batches`].
        clips (`int`): the number of clips.

    Returns:
        `dict` of `np.ndarray`, each `(clips, ...)` in the order of the rows.
    """
    ordered: dict[str, np.ndarray] = {}
    for rows, values in results:
        for name, array in values.items():
            if name not in ordered:
                ordered[name] = np.zeros((clips, *array.shape[1:]), array.dtype)
            ordered[name][rows] = array
    return ordered


def own_generator() -> torch.Generator:
    """A generator for a `DataLoader`, which always draws a seed for its workers.

    Without a generator of its own, a `DataLoader` draws this seed from the generator of the process. A run that finds a
    cache, or starts its workers again, would then continue with another dropout.
    """
    return torch.Generator()


def _as_array(values: torch.Tensor) -> np.ndarray:
    return (values.float() if values.is_floating_point() else values).cpu().numpy()
