"""`pipeline("vocal-burst-analysis")`: from recordings to named intensities, years and probabilities."""

from collections.abc import Iterable, Iterator
from itertools import islice
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import Pipeline
from transformers.pipelines.pt_utils import PipelineDataset, PipelineIterator

from .audio import as_array, load_clip
from .downloads import downloaded, is_url
from .errors import AudioError, ConfigError
from .familiarity import peak_of, warning_of
from .records import RecordNames, check_seconds, embeddings_of, parse_windows, record_of_windows
from .tasks import parse_tasks

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401

# The windows of this many batches are collected and sorted by their length.
SORTED_BATCHES = 16


class Window(NamedTuple):
    """A part of a recording, or all of it.

    Args:
        start (`float`): where the window starts in the recording, in seconds.
        samples (`np.ndarray` of shape `(samples,)`): mono, at the model's rate.
    """

    start: float
    samples: np.ndarray


class VocalBurstAnalysisPipeline(Pipeline):
    """Predicts every task of a saved model from recordings. It does not need ffmpeg to decode them.

    ```python
    >>> analyse = pipeline("vocal-burst-analysis", model="runs/demo/trained/model", trust_remote_code=True)
    >>> analyse("laugh.wav")
    {"emotion": {"Amusement": 0.71, "Awe": 0.02, ...}, "age": 27.4, "country": {"China": 0.11, ...}}
    ```

    It opens Burst2Vec models, the challenge's baseline, ensembles of these, and pre-finetuned models.
    """

    feature_extractor: Any
    _load_processor: Any = False
    _load_image_processor: Any = False
    _load_feature_extractor: Any = True
    _load_tokenizer: Any = False

    def __call__(self, inputs: Any, **kwargs: Any) -> dict[str, Any] | list[dict[str, Any]] | Iterator[dict[str, Any]]:
        """Analyses a recording, or a list, dataset or generator of recordings.

        Args:
            inputs: a recording, or a list, a `torch.utils.data.Dataset` or a generator of recordings. A recording is a
                path or URL, the bytes of an audio file or a file object, samples `(samples,)` as an array or tensor at
                the model's rate, `(array, rate)`, a dict with `array` or `raw` and `sampling_rate` or with `bytes` or
                `path`, as `datasets` gives it, or torchcodec's `AudioDecoder`.
            window_seconds (`float`, *optional*): a longer recording is cut into windows of this length. By default it
                is not cut.
            stride_seconds (`float`, *optional*): from the start of one window to the start of the next. By default it
                is the length of a window. The last window ends with the recording.
            return_embeddings (`bool`, *optional*, defaults to `False`): also return the representations.
            batch_size (`int`, *optional*, defaults to 1): how many windows the model sees at once. They are sorted by
                their length, so that there is little padding.
            num_workers (`int`, *optional*, defaults to 0): the number of processes that decode.

        Returns:
            A `dict` for a recording, a list of them for a list, otherwise an iterator, in the order of the inputs. It
            has one entry per task: a `dict` by label for intensities (0..1) and class probabilities, or a number in its
            unit for a scalar. Intensities and probabilities are calibrated if the model was. `unusual`, if the model
            knows it, says how unlike the training recordings a clip is; above 1 it is further from them than the share
            of recordings that its card states. `warning` is there where a clip says little: `silence`, `too short`, or
            `unlike the training recordings`. With `window_seconds` these are means over `windows`, a list with the same
            entries per window and its `start` and `end` in seconds. `embeddings` has lists of numbers by name. Where a
            task has one of these names, an underscore follows, as in `windows_`. All of it is plain data that can be
            written as JSON.

        Raises:
            AudioError: if a recording cannot be used.
            ConfigError: if an option is out of its range, or an ensemble is asked for embeddings.
        """
        if isinstance(inputs, list) and not inputs:
            return []
        if isinstance(inputs, GeneratorType):  # which older Transformers would read to its end first
            inputs = _Stream(inputs)
        return super().__call__(inputs, **kwargs)

    def _sanitize_parameters(
        self,
        window_seconds: float | None = None,
        stride_seconds: float | None = None,
        return_embeddings: bool | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown:
            raise ConfigError(
                f"option {next(iter(unknown))!r} is not known: use window_seconds, stride_seconds, return_embeddings, "
                "batch_size or num_workers"
            )
        given = {"window_seconds": window_seconds, "stride_seconds": stride_seconds}
        check_seconds(**given)
        given = {name: seconds for name, seconds in given.items() if seconds is not None}
        embeddings = {} if return_embeddings is None else {"return_embeddings": return_embeddings}
        return given, embeddings, {} if window_seconds is None else {"windowed": True}

    def get_iterator(
        self,
        inputs: Iterable[Any],
        num_workers: int,
        batch_size: int,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> Iterator[dict[str, Any]]:
        if hasattr(inputs, "__len__"):
            recordings = PipelineDataset(inputs, self.preprocess, preprocess_params)
        else:
            recordings = PipelineIterator(inputs, self.preprocess, preprocess_params)
            num_workers = min(num_workers, 1)  # each worker would start the generator again
        loader = DataLoader(recordings, batch_size=None, collate_fn=_unchanged, num_workers=num_workers)
        for group in _chunks(loader, batch_size * SORTED_BATCHES):
            for windows, outputs in zip(group, self._run(group, batch_size, forward_params), strict=True):
                yield self.postprocess((windows, outputs), **postprocess_params)

    def run_single(
        self,
        inputs: Any,
        preprocess_params: dict[str, Any],
        forward_params: dict[str, Any],
        postprocess_params: dict[str, Any],
    ) -> dict[str, Any]:
        return next(self.get_iterator([inputs], 0, 1, preprocess_params, forward_params, postprocess_params))

    def preprocess(
        self, inputs: Any, window_seconds: float | None = None, stride_seconds: float | None = None
    ) -> list[Window]:
        """Decodes a recording and cuts it into windows, as `__call__` describes."""
        rate = self.feature_extractor.sampling_rate
        cut = parse_windows(window_seconds, stride_seconds)
        longest = self.feature_extractor.max_seconds if cut is None else None
        if is_url(inputs):
            with downloaded(inputs) as (file, address):
                samples = _load({"bytes": file, "path": address}, rate, longest)
        else:
            samples = _load(inputs, rate, longest)
        spans = [(0, len(samples))] if cut is None else cut.spans(len(samples), rate)
        return [Window(start / rate, samples[start:end]) for start, end in spans]

    def _run(
        self, recordings: list[list[Window]], batch_size: int, forward_params: dict[str, Any]
    ) -> list[list[dict[str, Any]]]:
        """The model's output for each window of each recording, computed in batches of about one length."""
        outputs: list[list[dict[str, Any]]] = [[{}] * len(windows) for windows in recordings]
        places = [(row, column) for row, windows in enumerate(recordings) for column in range(len(windows))]
        places.sort(key=lambda place: len(recordings[place[0]][place[1]].samples))
        rate = self.feature_extractor.sampling_rate
        for batch in _chunks(places, batch_size):
            clips = [(recordings[row][column].samples, rate) for row, column in batch]
            inputs = self.feature_extractor(clips, return_tensors="pt")
            for name in inputs:
                # Functionals stay as they are, because half precision has no numbers for some of them.
                if name != "functionals" and inputs[name].is_floating_point():
                    inputs[name] = inputs[name].to(self.model.dtype)
            values = self.forward(inputs, **forward_params)
            for position, (row, column) in enumerate(batch):
                outputs[row][column] = _select(values, position)
        return outputs

    def _forward(self, model_inputs: Any, return_embeddings: bool = False) -> dict[str, Any]:
        output = self.model(**model_inputs)
        values = {"predictions": output.get("calibrated", output.predictions)}
        if output.get("unusual") is not None:
            values["unusual"] = output.unusual
        if return_embeddings:
            values["embeddings"] = embeddings_of(output)
        return values

    def postprocess(
        self, model_outputs: tuple[list[Window], list[dict[str, Any]]], windowed: bool = False
    ) -> dict[str, Any]:
        """The record of a recording; if it was cut, the mean over its windows and the record of each window."""
        windows, outputs = model_outputs
        records = [self._as_record(output) for output in outputs]
        warnings = [self._warning(window, record) for window, record in zip(windows, records, strict=True)]
        if not windowed:
            return records[0] | ({self._names.warning: warnings[0]} if warnings[0] else {})
        rate = self.feature_extractor.sampling_rate
        spans = [(start, start + len(samples) / rate) for start, samples in windows]
        return record_of_windows(self._names, spans, records, warnings)

    @property
    def _names(self) -> RecordNames:
        return RecordNames.beside(parse_tasks(self.model.config.tasks))

    def _as_record(self, output: dict[str, Any]) -> dict[str, Any]:
        record = {
            task.name: task.as_record(output["predictions"][task.name].float().numpy())
            for task in parse_tasks(self.model.config.tasks)
        }
        if "unusual" in output:
            record[self._names.unusual] = output["unusual"].item()
        if "embeddings" in output:
            record[self._names.embeddings] = _as_lists(output["embeddings"])
        return record

    def _warning(self, window: Window, record: dict[str, Any]) -> str | None:
        minimum = getattr(self.feature_extractor, "minimum_samples", 0)
        unusual = record.get(self._names.unusual)
        return warning_of(len(window.samples), peak_of(window.samples), minimum, unusual)


def _chunks(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


class _Stream(IterableDataset):
    """A generator as a dataset, which is read as it is used."""

    def __init__(self, recordings: Iterator[Any]) -> None:
        self.recordings = recordings

    def __iter__(self) -> Iterator[Any]:
        return self.recordings


def _unchanged(windows: list[Window]) -> list[Window]:
    return windows


def _load(inputs: Any, rate: int, longest: float | None) -> np.ndarray:
    """The samples of a recording in any form but an address, `(samples,)`, float32."""
    return load_clip(_as_source(inputs), rate, rate, max_seconds=longest, advice="give window_seconds")


def _as_source(inputs: Any) -> Any:
    """An input of the pipeline as [`AudioSource`]."""
    if hasattr(inputs, "get_all_samples"):  # torchcodec's AudioDecoder, whose samples are (channels, samples)
        try:
            decoded = inputs.get_all_samples()
        except RuntimeError as error:
            raise AudioError(f"a recording cannot be decoded by torchcodec ({error}): copy it again") from None
        return {"array": decoded.data.T, "sampling_rate": decoded.sample_rate}
    if isinstance(inputs, dict) and "raw" in inputs:
        return {"array": inputs["raw"], "sampling_rate": inputs.get("sampling_rate")}
    return as_array(inputs) if isinstance(inputs, torch.Tensor) else inputs


def _select(values: Any, position: int) -> Any:
    """One row of a batch, in mappings of tensors."""
    if isinstance(values, dict):
        return {name: _select(value, position) for name, value in values.items()}
    return values[position]


def _as_lists(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _as_lists(value) for name, value in values.items()}
    return values.float().tolist()
