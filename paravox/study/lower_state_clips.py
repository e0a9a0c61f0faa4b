"""The clips of trials in mode top_layers: what the frozen layers give for them is computed once on the device."""

import copy

import numpy as np
import torch

from paravox.modeling.feature_extraction_burst2vec import pad_features
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel
from paravox.study.clips import StudyClips
from paravox.study.device_clips import EVALUATION_CLIPS, EVALUATION_SECONDS, DeviceClips
from paravox.trainers.lower_states import FRAMES_PER_SECOND
from paravox.trainers.sampler import EvaluationBatchSampler


class LowerStateClips(DeviceClips):
    """The states of clips after the frozen layers of a checkpoint, which run without dropout and SpecAugment.

    The clips of a speaker are encoded in batches that are always the same, each of them when one of its clips is asked
    for. So the states of a clip do not depend on what was asked for before.

    Args:
        clips ([`StudyClips`]): of the whole study.
        rows (`np.ndarray` of int, shape `(rows,)`): of the speaker.
        checkpoint ([`PreFinetuningModel`]): in float32, on the device. It is copied, not changed. Its layers must be
            able to run alone.
        top_layers (`int`): how many layers learn, at least 1.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the states and of the encoder.

    Raises:
        ConfigError: if the encoder has fewer layers.
    """

    def __init__(
        self,
        clips: StudyClips,
        rows: np.ndarray,
        checkpoint: PreFinetuningModel,
        top_layers: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(clips, checkpoint.device, dtype)
        self._names = ["lower_states", "attention_mask"]
        self._per_second = float(FRAMES_PER_SECOND)
        self._model = copy.deepcopy(checkpoint)
        self._model.freeze_encoder(top_layers)
        self._model.eval().encoder.to(dtype)
        seconds = clips.select(rows).seconds
        sampler = EvaluationBatchSampler(seconds, EVALUATION_CLIPS, max(EVALUATION_SECONDS, float(seconds.max())))
        self._batches = [rows[[draw.index for draw in draws]].tolist() for draws in sampler]

    def _read(self, rows: list[int]) -> None:
        wanted = set(rows)
        for batch in self._batches:
            if not wanted.isdisjoint(batch):
                self._encode(batch)

    @torch.no_grad()
    def _encode(self, rows: list[int]) -> None:
        features, mask = (torch.from_numpy(array) for array in pad_features([self.clips.features(row) for row in rows]))
        encoder, mask = self._model.encoder, mask.to(self.device)
        # In older Transformers, some encoders draw which layers to skip even where they skip none.
        with torch.random.fork_rng(devices=[]):
            states = encoder.layer_states(features.to(self.device, self.dtype), mask)[self._model.frozen_lower_layers]
        frames = encoder.frame_mask(mask, states.shape[1]).sum(dim=1)
        self._keep(rows, states.transpose(1, 2), frames.cpu().numpy())

    def batch(self, places: torch.Tensor, lengths: torch.Tensor, length: int) -> dict[str, torch.Tensor]:
        inputs = super().batch(places, lengths, length)
        return inputs | {"lower_states": inputs["lower_states"].transpose(1, 2).contiguous()}
