"""The seam between paravox and the pre-trained encoders of Transformers.

Every encoder answers three questions: what input it takes (`input_name`), what its hidden states for a batch are
(`last_state`, `layer_states`) and how many frames of each clip are real (`frame_mask`).
"""

import copy
import logging
from collections.abc import Callable
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.masking_utils import create_bidirectional_mask
from transformers.models.whisper.modeling_whisper import WhisperEncoder, WhisperModel

from .errors import CheckpointError, ConfigError

logger = logging.getLogger(__name__)

WAVEFORM_MODEL_TYPES = ("wav2vec2", "hubert", "wavlm")

# Left out of some published checkpoints, such as facebook/wav2vec2-large-960h: the filler of SpecAugment's masks, used
# in training only and learned within it.
_MAY_BE_ABSENT = {"masked_spec_embed"}


class WaveformEncoder(nn.Module):
    """wav2vec 2.0, HuBERT or WavLM: from a normalised waveform to hidden states.

    An encoder with `feat_extract_norm="layer"` gives a padded clip the states that it has alone. One with `"group"`
    (the base sizes) takes statistics over the padding too, whatever the mask: there, a clip's states depend on its
    batch, and only batches of equal length or of one clip give exactly what the clip has alone.

    Args:
        config ([`PreTrainedConfig`]): the encoder's own.
    """

    input_name = "input_values"

    def __init__(self, config) -> None:
        super().__init__()
        self.model = AutoModel.from_config(config)

    @classmethod
    def around(cls, model: nn.Module) -> "WaveformEncoder":
        """The seam around an encoder that another model owns, in that encoder's mode."""
        seam = cls.__new__(cls)
        nn.Module.__init__(seam)
        seam.model = model
        seam.training = model.training
        return seam

    @property
    def hidden_size(self) -> int:
        return self.model.config.hidden_size

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.encoder.layers

    @property
    def output_norm(self) -> nn.Module | None:
        """The norm behind the last layer; None where the norm stands before the first one."""
        return self.model.encoder.layer_norm if self.model.config.do_stable_layer_norm else None

    def frame_mask(self, attention_mask: torch.Tensor, frames: int) -> torch.Tensor:
        """(batch, samples) -> (batch, frames), true where a frame is real"""
        real_frames = self.model._get_feat_extract_output_lengths(attention_mask.sum(dim=1))
        return torch.arange(frames, device=attention_mask.device) < real_frames.unsqueeze(1)

    def last_state(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, samples) -> (batch, frames, hidden)"""
        return self.model(*self._lengthened(inputs, attention_mask)).last_hidden_state

    def layer_states(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        """(batch, samples) -> layers + 1 times (batch, frames, hidden), from before the first layer to the output"""
        output = self.model(*self._lengthened(inputs, attention_mask), output_hidden_states=True)
        return [*output.hidden_states[:-1], output.last_hidden_state]

    def upper_states(self, hidden: torch.Tensor, frame_mask: torch.Tensor, lower_layers: int) -> list[torch.Tensor]:
        """(batch, frames, hidden) after so many lower layers -> the same after each of the layers above them

        Raises:
            ConfigError: for WavLM, whose layers share a position bias that the first one makes.
        """
        config = self.model.config
        if config.model_type == "wavlm":
            raise ConfigError("WavLM's upper layers cannot run without its first one: turn cache_lower_layers off")
        return _run_layers(self, hidden, frame_mask, lower_layers, layerdrop=config.layerdrop)

    def _lengthened(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        # SpecAugment refuses a batch with fewer frames than one of its masks.
        config = self.model.config
        if not (self.training and config.apply_spec_augment and config.mask_time_prob > 0):
            return inputs, attention_mask
        frames = max(1, config.mask_time_length)
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            frames = (frames - 1) * stride + kernel
        missing = max(0, frames - inputs.shape[1])
        return nn.functional.pad(inputs, (0, missing)), nn.functional.pad(attention_mask, (0, missing))


class WhisperClipEncoder(nn.Module):
    """Whisper's encoder at the clips' own length: from log-mel frames to hidden states, without padding to 30 s.

    The position embeddings are cut to the batch, the layers run with a mask, and padded frames are zeroed before each
    convolution, so that a padded clip has the states that it has alone. At 3,000 frames it equals `WhisperEncoder`.

    Args:
        config ([`WhisperConfig`]): the encoder's own.
    """

    input_name = "input_features"

    def __init__(self, config) -> None:
        super().__init__()
        self.model = WhisperEncoder._from_config(config)

    @property
    def hidden_size(self) -> int:
        return self.model.config.d_model

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.layers

    @property
    def output_norm(self) -> nn.Module:
        return self.model.layer_norm

    def frame_mask(self, attention_mask: torch.Tensor, frames: int) -> torch.Tensor:
        """(batch, mel frames) -> (batch, frames), true where a frame is real"""
        real_frames = self.model._get_feat_extract_output_lengths(attention_mask.sum(dim=1))
        return torch.arange(frames, device=attention_mask.device) < real_frames.unsqueeze(1)

    def last_state(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, mel bins, mel frames) -> (batch, frames, hidden)"""
        return self.layer_states(inputs, attention_mask)[-1]

    def layer_states(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        """(batch, mel bins, mel frames) -> layers + 1 times (batch, frames, hidden)"""
        model = self.model
        if inputs.shape[-1] > 2 * model.max_source_positions:
            raise ConfigError(
                f"a clip of {inputs.shape[-1]} mel frames is longer than the {2 * model.max_source_positions} that this "
                "Whisper encoder has positions for: set max_seconds to 30 or cut the clip"
            )
        inputs = self._spec_augment(inputs, attention_mask)
        hidden = nn.functional.gelu(model.conv1(inputs * attention_mask.unsqueeze(1)))
        hidden = nn.functional.gelu(model.conv2(hidden * attention_mask.unsqueeze(1))).transpose(1, 2)
        frames = hidden.shape[1]
        hidden = hidden + model.embed_positions.weight[:frames]
        hidden = nn.functional.dropout(hidden, p=model.dropout, training=self.training)
        return [hidden, *self.upper_states(hidden, self.frame_mask(attention_mask, frames), lower_layers=0)]

    def upper_states(self, hidden: torch.Tensor, frame_mask: torch.Tensor, lower_layers: int) -> list[torch.Tensor]:
        """(batch, frames, hidden) after so many lower layers -> the same after each of the layers above them"""
        return _run_layers(self, hidden, frame_mask, lower_layers, layerdrop=self.model.layerdrop)

    def _spec_augment(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        # A batch shorter than one mask would be refused.
        if not (self.training and config.apply_spec_augment and inputs.shape[-1] > config.mask_time_length):
            return inputs
        # Whisper's own, which looks at nothing but the config and the mode.
        return WhisperModel._mask_input_features(self.model, inputs.clone(), attention_mask)


SpeechEncoder = WaveformEncoder | WhisperClipEncoder


def _run_layers(
    encoder: SpeechEncoder, hidden: torch.Tensor, frame_mask: torch.Tensor, lower_layers: int, layerdrop: float
) -> list[torch.Tensor]:
    layer_mask = create_bidirectional_mask(encoder.model.config, hidden, frame_mask)
    states = []
    for layer in encoder.layers[lower_layers:]:
        # LayerDrop: a skipped layer passes its input on.
        if not (encoder.training and torch.rand(()) < layerdrop):
            hidden = layer(hidden, layer_mask)
        states.append(hidden)
    if encoder.output_norm is not None:
        states[-1] = encoder.output_norm(states[-1])
    return states


def check_encoder_type(model_type: str | None) -> None:
    """Raises [`ConfigError`] where no seam knows this encoder."""
    known = (*WAVEFORM_MODEL_TYPES, "whisper")
    if model_type not in known:
        raise ConfigError(f"encoder of model_type {model_type!r} is not supported: use one of {', '.join(known)}")


def parse_encoder_config(encoder: Any) -> Any:
    """The config of an encoder, given as one or as plain data.

    Raises:
        ConfigError: if there is none, or no seam knows it.
    """
    if encoder is None:
        raise ConfigError("the config needs an encoder: pass the config of one, such as HubertConfig()")
    check_encoder_type(encoder.get("model_type") if isinstance(encoder, dict) else encoder.model_type)
    return AutoConfig.for_model(**encoder) if isinstance(encoder, dict) else encoder


def check_format_version(found: int, known: int) -> None:
    """Raises [`CheckpointError`] for a config that a newer paravox has written."""
    if found > known:
        raise CheckpointError(
            f"this config has format_version {found}, this paravox knows up to {known}: upgrade paravox"
        )


def build_encoder(config) -> SpeechEncoder:
    """An encoder with random weights.

    Args:
        config ([`PreTrainedConfig`]): of wav2vec 2.0, HuBERT, WavLM or Whisper. It is copied, not changed.

    Raises:
        ConfigError: if it belongs to another architecture.
    """
    check_encoder_type(config.model_type)
    config = copy.deepcopy(config)
    return WhisperClipEncoder(config) if config.model_type == "whisper" else WaveformEncoder(config)


def encoder_shape(config) -> tuple[int, int]:
    """How many hidden states an encoder has (its layers and the one before them), and how wide they are."""
    return config.num_hidden_layers + 1, config.d_model if config.model_type == "whisper" else config.hidden_size


def minimum_samples(config) -> int:
    """The receptive field: how many samples an encoder needs for one frame."""
    if config.model_type == "whisper":
        return 400  # one window of the log-mel transform
    samples = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


def open_checkpoint(from_pretrained: Callable[..., Any], name_or_path: str, *args, **options) -> Any:
    """Calls a `from_pretrained` of Transformers; where there is nothing that it can read, one error says so.

    Raises:
        CheckpointError: if a file is missing or truncated, or the name is not known on the Hub.
    """
    try:
        return from_pretrained(name_or_path, *args, **options)
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"checkpoint {str(name_or_path)!r} cannot be opened ({reason}): give a folder written by save_pretrained, "
            "or a name on the Hub that can be reached from here"
        ) from error


def load_encoder_config(name_or_path: str, **hub_options):
    """The config of a published or saved encoder.

    Raises:
        CheckpointError: if there is none at that name or folder.
        ConfigError: if it is not an encoder that the seam knows.
    """
    try:
        config = AutoConfig.from_pretrained(name_or_path, **hub_options)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"no encoder could be opened at {str(name_or_path)!r} ({reason}): give a folder written by save_pretrained, "
            "or a name on the Hub that can be reached from here"
        ) from error
    check_encoder_type(config.model_type)
    # It would be saved with the model: a folder of this machine.
    config.name_or_path = ""
    return config


def load_encoder_weights(encoder: SpeechEncoder, name_or_path: str, **hub_options) -> None:
    """Fills an encoder with published or saved weights, in float32 whatever the file holds.

    Args:
        encoder ([`SpeechEncoder`]): built from the config at the same place.
        name_or_path (`str`): a checkpoint of the bare encoder or of any model around it, such as `ForCTC` or
            `ForPreTraining`; for Whisper also a complete model.

    Raises:
        CheckpointError: if the file cannot be read, or a weight of the encoder is missing there or has another shape.
    """
    # Weights of another shape are reported below, by name, instead of raised.
    options = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True, **hub_options}
    if isinstance(encoder, WhisperClipEncoder):
        # A Whisper checkpoint names the encoder's weights model.encoder.*, or encoder.* when saved without its head.
        names = {r"^(model\.)?encoder\.": ""}
        source, info = open_checkpoint(WhisperEncoder.from_pretrained, name_or_path, key_mapping=names, **options)
    else:
        source, info = open_checkpoint(AutoModel.from_pretrained, name_or_path, **options)
    absent = sorted(set(info["missing_keys"]) - _MAY_BE_ABSENT)
    unfit = sorted(str(key[0]) for key in info["mismatched_keys"])
    if absent or unfit:
        raise CheckpointError(
            f"encoder {str(name_or_path)!r}: {len(absent)} weights are missing ({', '.join(absent[:3])}) and "
            f"{len(unfit)} have another shape ({', '.join(unfit[:3])}): it is not a checkpoint of "
            f"{type(encoder.model).__name__} with this config"
        )
    for key in sorted(info["missing_keys"]):
        logger.info("encoder %s has no %s: it starts from random numbers", name_or_path, key)
    encoder.model.load_state_dict(source.state_dict())
