"""What a model takes, computed from samples in batches on the model's device.

The feature extractor of a model makes these features clip by clip, on the CPU, and stays their definition. Those made
here equal them within 1e-4 in float32.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from paravox.modeling.encoders import front_end_kind
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor


class DeviceFeatures:
    """Turns padded samples into a model's inputs, on the device of the samples.

    Args:
        extractor ([`Burst2VecFeatureExtractor`], [`ComParEFeatureExtractor`] or [`Burst2VecEnsembleFeatureExtractor`]):
            that of the model.
    """

    def __init__(self, extractor: Any) -> None:
        self.parts = _parts(extractor)
        self.names = extractor.model_input_names

    @property
    def compare(self) -> ComParEFeatureExtractor | None:
        """The part that computes functionals. It runs where clips are read, because openSMILE needs the CPU."""
        found = [part for part in self.parts if isinstance(part, ComParEFeatureExtractor)]
        return found[0] if found else None

    def __call__(
        self, samples: torch.Tensor, lengths: torch.Tensor, functionals: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """The inputs of a batch.

        Args:
            samples (`torch.Tensor` of shape `(batch, samples)`): float32, mono at the rate of the feature extractor,
                not levelled, with zeros behind the end of each clip.
            lengths (`torch.LongTensor` of shape `(batch,)`): the number of samples of each clip.
            functionals (`torch.Tensor` of shape `(batch, functionals)`, *optional*): for a model that takes them.

        Returns:
            `dict` of `torch.Tensor`: as the feature extractor names them.
        """
        values: list[torch.Tensor] = []
        for part in self.parts:
            if isinstance(part, ComParEFeatureExtractor):
                assert functionals is not None
                values.append(functionals)
            else:
                values += _encoder_inputs(part, samples, lengths)
        return dict(zip(self.names, values, strict=True))


def _parts(extractor: Any) -> list[Burst2VecFeatureExtractor | ComParEFeatureExtractor]:
    if isinstance(extractor, Burst2VecEnsembleFeatureExtractor):
        parts = (extractor.waveform, extractor.log_mel, extractor.functionals)
        return [part for part in parts if part is not None]
    return [extractor]


def _encoder_inputs(
    extractor: Burst2VecFeatureExtractor, samples: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The features and their mask for an encoder."""
    front_end = extractor.stock_extractor
    kind = front_end_kind(front_end)
    if kind is None or front_end.to_dict().get("dither"):
        # Dither is random noise, which only the stock feature extractor draws as its settings say.
        return _clip_by_clip(extractor, samples, lengths)
    if extractor.target_rms_db is not None:
        samples = scale_to_rms(samples, lengths, extractor.target_rms_db)
    samples = nn.functional.pad(samples, (0, max(0, extractor.minimum_samples - samples.shape[1])))
    lengths = lengths.clamp(min=extractor.minimum_samples)
    if kind == "log_mel":
        return log_mel_frames(front_end, samples, lengths)
    return normalised_waveforms(front_end, samples, lengths)


def _clip_by_clip(
    extractor: Burst2VecFeatureExtractor, samples: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    rate = extractor.sampling_rate
    clips = [(clip[:length], rate) for clip, length in zip(samples.cpu().numpy(), lengths.tolist(), strict=True)]
    features, mask = extractor(clips, return_tensors="pt").to(samples.device).values()
    return features, mask


def scale_to_rms(samples: torch.Tensor, lengths: torch.Tensor, target_rms_db: float) -> torch.Tensor:
    """Scales each clip to a root mean square level, as [`~paravox.modeling.audio.scale_to_rms`] does with one.

    Args:
        samples (`torch.Tensor` of shape `(batch, samples)`): with zeros behind the end of each clip.
        lengths (`torch.LongTensor` of shape `(batch,)`).
        target_rms_db (`float`): the level in decibels of full scale.
    """
    # Divided by its peak first, because the squares of very quiet samples do not fit into float32.
    peaks = samples.abs().amax(dim=1, keepdim=True)
    silent = peaks == 0
    shapes = samples / torch.where(silent, 1.0, peaks)
    levels = (shapes.square().sum(dim=1, keepdim=True) / lengths.unsqueeze(1)).sqrt()
    return shapes * (10 ** (target_rms_db / 20) / torch.where(silent, 1.0, levels))


def normalised_waveforms(
    front_end: Any, samples: torch.Tensor, lengths: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What [`Wav2Vec2FeatureExtractor`] makes of each clip: zero mean and unit variance, if its settings say so.

    Args:
        front_end ([`Wav2Vec2FeatureExtractor`]).
        samples (`torch.Tensor` of shape `(batch, samples)`): with zeros behind the end of each clip.
        lengths (`torch.LongTensor` of shape `(batch,)`).

    Returns:
        The waveforms `(batch, samples)` and their mask of the same shape, int64.
    """
    real = _real(lengths, samples.shape[1])
    if front_end.do_normalize:
        counts = lengths.unsqueeze(1)
        centred = torch.where(real, samples - samples.sum(dim=1, keepdim=True) / counts, 0.0)
        samples = centred / (centred.square().sum(dim=1, keepdim=True) / counts + 1e-7).sqrt()
    return torch.where(real, samples, front_end.padding_value), real.long()


def log_mel_frames(front_end: Any, samples: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What [`WhisperFeatureExtractor`] makes of each clip at its own length, without padding to 30 seconds.

    Args:
        front_end ([`WhisperFeatureExtractor`]): without dither.
        samples (`torch.Tensor` of shape `(batch, samples)`): with zeros behind the end of each clip.
        lengths (`torch.LongTensor` of shape `(batch,)`): each more than half a window.

    Returns:
        The log-mel frames `(batch, mel bins, frames)` and their mask `(batch, frames)`, int64.
    """
    device = samples.device
    spectrum = torch.stft(
        _reflected(samples, lengths, front_end.n_fft // 2),
        front_end.n_fft,
        front_end.hop_length,
        window=torch.hann_window(front_end.n_fft, device=device),
        center=False,
        return_complex=True,
    )
    # The stock feature extractor leaves the last frame out.
    power = (spectrum[..., :-1].abs() ** 2).contiguous()
    mel_filters = torch.from_numpy(np.asarray(front_end.mel_filters, np.float32)).to(device)
    log_spectrum = (mel_filters.T @ power).clamp(min=1e-10).log10()
    real = _real(lengths // front_end.hop_length, log_spectrum.shape[-1])
    # Each clip has its own largest value, below which nothing is kept that is weaker by more than 80 decibels.
    largest = torch.where(real.unsqueeze(1), log_spectrum, -torch.inf).amax(dim=(1, 2), keepdim=True)
    frames = (torch.maximum(log_spectrum, largest - 8.0) + 4.0) / 4.0
    return torch.where(real.unsqueeze(1), frames, front_end.padding_value), real.long()


def _real(lengths: torch.Tensor, longest: int) -> torch.Tensor:
    """(batch,) -> (batch, longest), true where a clip is real"""
    return torch.arange(longest, device=lengths.device) < lengths.unsqueeze(1)


def _reflected(samples: torch.Tensor, lengths: torch.Tensor, width: int) -> torch.Tensor:
    """(batch, samples) -> (batch, width + samples + width): each clip is mirrored at its start and at its own end."""
    padded = nn.functional.pad(samples, (width, width))
    steps = torch.arange(width, device=samples.device)
    ends = lengths.unsqueeze(1)
    padded[:, :width] = samples.gather(1, (width - steps).expand(len(samples), width))
    padded.scatter_(1, width + ends + steps, samples.gather(1, (ends - 2 - steps).clamp(min=0)))
    return padded
