"""Every hidden layer of every clip under one checkpoint after another, averaged over time and kept on disk."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from paravox.modeling.encoders import SpeechEncoder
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.modeling.pooling import masked_mean
from paravox.study.clips import STUDY_PASS, ClipsWithoutLabels, StudyClips
from paravox.trainers.clip_pass import PassSettings, Step, in_row_order, pass_over_clips
from paravox.trainers.clip_sources import ClipSource
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.files import written_aside
from paravox.trainers.lower_states import EncodedClip, LowerStates, states_folder, states_gigabytes, write_states


class LayerStates:
    """Encodes the clips of a study under its checkpoints, each checkpoint at most once.

    The states of a checkpoint are kept in a folder, under a name made of all that they depend on: the clips, the
    feature extractor and the weights. Lower layers that pre-finetuning left as they were are run once for all
    checkpoints, and their states are kept in the same folder.

    Args:
        clips ([`StudyClips`]).
        folder (`Path`, *optional*): where states are kept; made if it does not exist. A single call of `encode` does
            not need it.
        max_gigabytes (`float`, *optional*, defaults to 4): the most that the states of shared lower layers may take on
            disk. Where they would take more, each checkpoint runs all its layers.
        settings ([`PassSettings`], *optional*): of the passes over the clips.
    """

    def __init__(
        self,
        clips: StudyClips,
        folder: Path | None = None,
        max_gigabytes: float = 4.0,
        settings: PassSettings = STUDY_PASS,
    ) -> None:
        self.clips = clips
        self.folder = folder
        self.max_gigabytes = max_gigabytes
        self.settings = settings
        self._first: SpeechEncoder | None = None

    def states_of(self, model: PreFinetuningModel, title: str) -> np.ndarray:
        """The states under a checkpoint, read from the folder where they are known.

        Args:
            model ([`PreFinetuningModel`]): the checkpoint.
            title (`str`): of the line of progress.

        Returns:
            `np.ndarray` of shape `(clips, layers + 1, hidden)`, float32.
        """
        path = states_folder(self.folder, self._identity(model.encoder)).with_suffix(".npy")
        if not path.is_file():
            states = self.encode(model.encoder, title)
            with written_aside(path) as part:
                np.save(part, states)
        return np.load(path)

    def encode(self, encoder: SpeechEncoder, title: str) -> np.ndarray:
        """Runs an encoder over all clips, whatever states of it the folder holds. Arguments and result are as above."""
        shared = 0 if self._first is None else equal_lower_layers(encoder, self._first)
        self._first = self._first or encoder
        if shared == 0 or states_gigabytes(self.clips.seconds.sum(), encoder.hidden_size) > self.max_gigabytes:
            return in_row_order(self._run(encoder, self.clips, _all_layers, title), len(self.clips))["pooled"]
        folder = states_folder(self.folder, self._identity(encoder, shared))
        if folder.is_dir():
            return self._encode_upper(encoder, LowerStates.open(folder, self.clips.seconds), title)
        return self._encode_and_keep_lower(encoder, shared, folder, title)

    def _encode_and_keep_lower(self, encoder: SpeechEncoder, shared: int, folder: Path, title: str) -> np.ndarray:
        states = np.zeros((len(self.clips), len(encoder.layers) + 1, encoder.hidden_size), np.float32)

        def step(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return _all_layers(encoder, inputs, keep=shared)

        def encoded_clips() -> Iterator[EncodedClip]:
            for rows, results in self._run(encoder, self.clips, step, title):
                states[rows] = results["pooled"]
                for row, kept, frames in zip(rows, results["kept"], results["frames"], strict=True):
                    yield EncodedClip(int(row), kept[:frames], states[row, : shared + 1])

        write_states(folder, encoded_clips(), len(self.clips), shared)
        return states

    def _encode_upper(self, encoder: SpeechEncoder, lower: LowerStates, title: str) -> np.ndarray:
        def step(encoder: SpeechEncoder, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            frame_mask = inputs["attention_mask"].bool()
            return {"pooled": _pool(encoder.upper_states(inputs["lower_states"], frame_mask, lower.layers), frame_mask)}

        upper = in_row_order(self._run(encoder, lower, step, title), len(self.clips))["pooled"]
        return np.concatenate([lower.pooled, upper], axis=1)

    def _run(
        self, encoder: SpeechEncoder, source: ClipSource, step: Step, title: str
    ) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        collate = MultiTaskCollator(source)
        return pass_over_clips(encoder, ClipsWithoutLabels(source), collate, step, self.settings, title)

    def _identity(self, encoder: SpeechEncoder, layers: int | None = None) -> Iterator[bytes]:
        """All that the states after so many layers depend on; after all of them by default."""
        yield repr((layers, str(self.settings.dtype))).encode()
        yield from self.clips.identity()
        for name, value in sorted(encoder.state_dict().items()):
            if layers is None or _layer_of(encoder, name) < layers:
                yield name.encode() + value.cpu().numpy().tobytes()


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
    mask = inputs["attention_mask"]
    layers = encoder.layer_states(inputs[encoder.input_name], mask)
    frame_mask = encoder.frame_mask(mask, layers[0].shape[1])
    results = {"pooled": _pool(layers, frame_mask)}
    return results if keep is None else results | {"kept": layers[keep], "frames": frame_mask.sum(dim=1)}


def _pool(layers: list[torch.Tensor], frame_mask: torch.Tensor) -> torch.Tensor:
    """layers times (batch, frames, hidden) -> (batch, layers, hidden)"""
    return torch.stack([masked_mean(layer, frame_mask) for layer in layers], dim=1)
