"""Every hidden layer of every clip under one checkpoint after another, averaged over time and kept on disk."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from paravox.modeling.encoders import SpeechEncoder
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.clips import STUDY_PASS, ClipsWithoutLabels, StudyClips
from paravox.trainers.clip_pass import PassSettings, Step, in_row_order, pass_over_clips
from paravox.trainers.clip_sources import ClipSource
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.files import keep_array, whole_array
from paravox.trainers.lower_states import EncodedClip, LowerStates, states_folder, states_gigabytes, write_states
from paravox.trainers.pooled_layers import layer_moments, pool_layers, run_all_layers


class LayerStates:
    """Encodes the clips of a study under its checkpoints, each checkpoint at most once.

    The clips are encoded in groups, one after the other. The states of a group under a checkpoint are kept in a folder
    as soon as they are there, under a name made of all that they depend on: the clips, the feature extractor, the
    weights and how they are run. Lower layers that pre-finetuning left as they were are run once for all checkpoints,
    and their states are kept in the same folder.

    Args:
        clips ([`StudyClips`]).
        folder (`Path`, *optional*): where states are kept; made if it does not exist. A single call of `encode` does
            not need it.
        max_gigabytes (`float`, *optional*, defaults to 4): the most that the states of shared lower layers may take on
            disk. Where they would take more, each checkpoint runs all its layers.
        settings ([`PassSettings`], *optional*): of the passes over the clips.
        with_variances (`bool`, *optional*, defaults to `False`): also compute the variance of each layer over time.
            Every checkpoint then runs all its layers.
        groups (list of `np.ndarray` of int, *optional*): the rows of each group, such as the clips of a speaker. By
            default all clips are one group.
    """

    def __init__(
        self,
        clips: StudyClips,
        folder: Path | None = None,
        max_gigabytes: float = 4.0,
        settings: PassSettings = STUDY_PASS,
        groups: list[np.ndarray] | None = None,
        with_variances: bool = False,
    ) -> None:
        self.clips = clips
        self.folder = folder
        self.max_gigabytes = max_gigabytes
        self.settings = settings
        self.with_variances = with_variances
        self.groups = [np.arange(len(clips))] if groups is None else groups
        self._first: SpeechEncoder | None = None

    def states_of(self, model: PreFinetuningModel, title: str) -> np.ndarray:
        """The states under a checkpoint, read from the folder where they are known.

        Args:
            model ([`PreFinetuningModel`]): the checkpoint.
            title (`str`): of the line of progress.

        Returns:
            `np.ndarray` of shape `(clips, layers + 1, hidden)`, float32; with variances, `(clips, layers + 1, 2,
            hidden)`, first the mean, then the variance.
        """
        encoder = model.encoder
        weights = weight_digests(encoder)
        paths = [
            states_folder(self.folder, self._identity(self.clips.select(rows), weights)).with_suffix(".npy")
            for rows in self.groups
        ]
        kept = [whole_array(path) for path in paths]
        if any(states is None for states in kept):
            shared = self._shared_layers(encoder)
            for number, (rows, path) in enumerate(zip(self.groups, paths, strict=True)):
                if kept[number] is None:
                    kept[number] = self._encode_group(encoder, self.clips.select(rows), shared, weights, title)
                    keep_array(path, kept[number])
        return self._in_row_order(kept)

    def encode(self, encoder: SpeechEncoder, title: str) -> np.ndarray:
        """Runs an encoder over all clips, whatever states of it the folder holds. Arguments and result are as above."""
        shared = self._shared_layers(encoder)
        weights = weight_digests(encoder) if shared else []
        return self._in_row_order(
            [self._encode_group(encoder, self.clips.select(rows), shared, weights, title) for rows in self.groups]
        )

    def _shared_layers(self, encoder: SpeechEncoder) -> int:
        """How many lower layers to run once for all checkpoints: those that are equal in the first one."""
        if self.with_variances:
            return 0
        shared = 0 if self._first is None else equal_lower_layers(encoder, self._first)
        self._first = self._first or encoder
        if shared and states_gigabytes(self.clips.seconds.sum(), encoder.hidden_size) > self.max_gigabytes:
            return 0
        return shared

    def _in_row_order(self, states: list[np.ndarray]) -> np.ndarray:
        order = np.argsort(np.concatenate(self.groups))
        return np.concatenate(states)[order]

    def _encode_group(
        self, encoder: SpeechEncoder, clips: StudyClips, shared: int, weights: list["WeightDigest"], title: str
    ) -> np.ndarray:
        if shared == 0:
            step = _all_moments if self.with_variances else _all_layers
            return in_row_order(self._run(encoder, clips, step, title), len(clips))["pooled"]
        folder = states_folder(self.folder, self._identity(clips, weights, shared))
        lower = LowerStates.open_whole(folder, clips.seconds)
        if lower is not None:
            return self._encode_upper(encoder, lower, title)
        return self._encode_and_keep_lower(encoder, clips, shared, folder, title)

    def _encode_and_keep_lower(
        self, encoder: SpeechEncoder, clips: StudyClips, shared: int, folder: Path, title: str
    ) -> np.ndarray:
        states = np.zeros((len(clips), len(encoder.layers) + 1, encoder.hidden_size), np.float32)

        def step(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return _all_layers(encoder, inputs, keep=shared)

        def encoded_clips() -> Iterator[EncodedClip]:
            for rows, results in self._run(encoder, clips, step, title):
                states[rows] = results["pooled"]
                for row, kept, frames in zip(rows, results["kept"], results["frames"], strict=True):
                    yield EncodedClip(int(row), kept[:frames], states[row, : shared + 1])

        write_states(folder, encoded_clips(), len(clips), shared)
        return states

    def _encode_upper(self, encoder: SpeechEncoder, lower: LowerStates, title: str) -> np.ndarray:
        def step(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            frame_mask = inputs["attention_mask"].bool()
            return {
                "pooled": pool_layers(
                    encoder.upper_states(inputs["lower_states"], frame_mask, lower.layers), frame_mask
                )
            }

        upper = in_row_order(self._run(encoder, lower, step, title), len(lower))["pooled"]
        return np.concatenate([lower.pooled, upper], axis=1)

    def _run(
        self, encoder: SpeechEncoder, source: ClipSource, step: Step, title: str
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        collate = MultiTaskCollator(source)
        return pass_over_clips(encoder, ClipsWithoutLabels(source), collate, step, self.settings, title)

    def _identity(self, clips: StudyClips, weights: list["WeightDigest"], layers: int | None = None) -> Iterator[bytes]:
        """All that the states after so many layers depend on; after all of them by default."""
        if self.with_variances:
            yield b"with variances"
        yield repr((layers, str(self.settings.dtype), torch.device(self.settings.device).type)).encode()
        yield from clips.identity()
        for weight in weights:
            if layers is None or weight.layer < layers:
                yield weight.name.encode() + weight.digest


class WeightDigest(NamedTuple):
    """A weight of an encoder, the layer that it belongs to as in `_layer_of`, and a digest of its values."""

    name: str
    layer: int
    digest: bytes


def weight_digests(encoder: SpeechEncoder) -> list[WeightDigest]:
    """What tells the weights of an encoder from those of another one, sorted by name."""
    return [
        WeightDigest(
            name, _layer_of(encoder, name), hashlib.blake2b(value.cpu().numpy().tobytes(), digest_size=16).digest()
        )
        for name, value in sorted(encoder.state_dict().items())
    ]


def equal_lower_layers(encoder: SpeechEncoder, other: SpeechEncoder) -> int:
    """How many layers of two encoders, counted from below, give the same states.

    All weights in and below them are equal. This is never all of them, so that there is a layer to run.
    """
    if not encoder.layers_run_alone:
        return 0
    ours, theirs = encoder.state_dict(), other.state_dict()
    differing = [name for name in ours if name not in theirs or not torch.equal(ours[name], theirs[name])]
    return max(0, min([len(encoder.layers) - 1, *(_layer_of(encoder, name) for name in differing)]))


def _layer_of(encoder: SpeechEncoder, weight: str) -> int:
    """The layer that a weight belongs to; -1 for all that comes before the layers, their number for all behind them."""
    names = {id(module): f"{name}." for name, module in encoder.named_modules()}
    layers, norm = names[id(encoder.layers)], names.get(id(encoder.output_norm))
    if weight.startswith(layers):
        return int(weight.removeprefix(layers).split(".")[0])
    return len(encoder.layers) if norm is not None and weight.startswith(norm) else -1


def _all_layers(
    encoder: SpeechEncoder, inputs: dict[str, torch.Tensor], keep: int | None = None
) -> dict[str, torch.Tensor]:
    """The step of a pass from the input: every layer averaged over time, and all frames after `keep` layers."""
    layers, frame_mask = run_all_layers(encoder, inputs)
    results = {"pooled": pool_layers(layers, frame_mask)}
    return results if keep is None else results | {"kept": layers[keep], "frames": frame_mask.sum(dim=1)}


def _all_moments(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The step of a pass from the input: mean and variance of every layer over time."""
    return {"pooled": layer_moments(*run_all_layers(encoder, inputs))}
