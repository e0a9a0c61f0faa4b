"""The seam between paravox and the pre-trained encoders of Transformers.

One class per sort of encoder answers what the rest of paravox asks: which input it takes, what its hidden states for a
batch are, how many frames of each clip are real, and how its published files are read. To add an encoder, derive a
class from [`SpeechEncoder`] and add a line to [`ENCODER_CLASSES`]; nothing else in paravox knows the encoders by name.
"""

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, Wav2Vec2FeatureExtractor, WhisperFeatureExtractor
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from .bounds import check_encoder_config, check_lengths
from .errors import ConfigError, ParavoxError, reason_of
from .opening import open_checkpoint
from .transformers_versions import PreTrainedConfig, attention_mask_of, run_layer

if TYPE_CHECKING:
    from typing_extensions import Self


class SpeechEncoder(nn.Module):
    """A pre-trained encoder as the rest of paravox sees it. This is the base class; build one with [`build_encoder`].

    A derived class sets `input_name` and `front_end_class`, and defines `new_model`, `dtype`, `layers`, `output_norm`,
    `layerdrop`, `layer_states` and `minimum_samples`. The other members have defaults that it may override.

    Args:
        config ([`PreTrainedConfig`]): the encoder's own config. The weights are random.
    """

    input_name: ClassVar[str]
    """The name of the encoder's input: `input_values` (a waveform) or `input_features` (log-mel frames)."""

    front_end_class: ClassVar[type]
    """The stock feature extractor that makes this input from samples."""

    layers_run_alone: ClassVar[bool] = True
    """Whether upper layers can run on stored states of the lower ones. Where this is false, `upper_states` raises."""

    takes_adapters: ClassVar[bool] = True
    """Whether its attention runs its projections as layers, so that low-rank adapters in them take effect."""

    may_be_absent: ClassVar[frozenset[str]] = frozenset()
    """Weights that some published checkpoints lack and that may then start from random numbers."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.model = self.new_model(config)

    @classmethod
    def around(cls, model: nn.Module) -> "Self":
        """The seam around an encoder that another model owns, in that encoder's mode."""
        seam = cls.__new__(cls)
        nn.Module.__init__(seam)
        seam.model = model
        seam.training = model.training
        return seam

    @classmethod
    def new_model(cls, config: PreTrainedConfig) -> nn.Module:
        """The encoder of Transformers with random weights."""
        return AutoModel.from_config(config)

    @classmethod
    def open_model(cls, name_or_path: str, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
        """The encoder of Transformers with the weights of a checkpoint.

        Args:
            name_or_path (`str`): a folder or Hub name.
            options: passed to `from_pretrained`; they include `output_loading_info=True`.

        Returns:
            The encoder, and what Transformers says about its weights: `missing_keys`, `mismatched_keys`.

        Raises:
            CheckpointError: if it cannot be read.
        """
        return open_checkpoint(AutoModel.from_pretrained, name_or_path, **options)

    @classmethod
    def minimum_samples(cls, config: PreTrainedConfig) -> int:
        """The receptive field: the smallest number of samples that give one frame."""
        raise NotImplementedError

    @classmethod
    def new_front_end(cls, config: PreTrainedConfig) -> Any:
        """The stock feature extractor with its usual settings, for an encoder with random weights."""
        return cls.front_end_class()

    @classmethod
    def longest_seconds(cls, front_end: Any) -> float | None:
        """The length of the longest clip that the encoder can take, in seconds; None where there is no limit."""
        return None

    @property
    def hidden_size(self) -> int:
        """The width of every hidden state."""
        return self.model.config.hidden_size

    @property
    def dtype(self) -> torch.dtype:
        """The type of its first layer's weights. Inputs of another type are converted to it."""
        raise NotImplementedError

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer layers, from the first one up."""
        raise NotImplementedError

    @property
    def layers_to_compile(self) -> list[nn.Module]:
        """The layers in which nearly all of its time is spent, and which a compiler can take as they are."""
        return list(self.layers)

    @property
    def output_norm(self) -> nn.Module | None:
        """The norm after the last layer; None where there is none."""
        raise NotImplementedError

    @property
    def layerdrop(self) -> float:
        """The probability with which a layer is skipped in training, 0..1."""
        raise NotImplementedError

    def frame_mask(self, attention_mask: torch.Tensor, frames: int) -> torch.Tensor:
        """(batch, samples or mel frames) -> (batch, frames), true where a frame is real"""
        real_frames = self.model._get_feat_extract_output_lengths(attention_mask.sum(dim=1))
        return torch.arange(frames, device=attention_mask.device) < real_frames.unsqueeze(1)

    def last_state(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The encoder's output; arguments as in `layer_states`. Returns (batch, frames, hidden)."""
        return self.layer_states(inputs, attention_mask)[-1]

    def layer_states(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        """All hidden states, from the one before the first layer to the encoder's output.

        Args:
            inputs (`torch.Tensor` of shape `(batch, samples)` or `(batch, mel bins, mel frames)`): as
                `input_name` says.
            attention_mask (`torch.Tensor` of shape `(batch, samples or mel frames)`): 1 where the input is real.

        Returns:
            One `torch.Tensor` of shape `(batch, frames, hidden)` per layer, and one before them.
        """
        raise NotImplementedError

    def upper_states(self, hidden: torch.Tensor, frame_mask: torch.Tensor, lower_layers: int) -> list[torch.Tensor]:
        """The hidden states after each of the upper layers, from what the lower layers gave.

        Args:
            hidden (`torch.Tensor` of shape `(batch, frames, hidden)`): the state after the lower layers.
            frame_mask (`torch.Tensor` of shape `(batch, frames)`): true where a frame is real.
            lower_layers (`int`): how many layers have run.

        Returns:
            One `torch.Tensor` of shape `(batch, frames, hidden)` per layer above them; the last one is the output.

        Raises:
            ConfigError: if the layers cannot run alone.
        """
        hidden = hidden.to(self.dtype)
        layer_mask = attention_mask_of(self.model.config, hidden, frame_mask)
        states = []
        for layer in self.layers[lower_layers:]:
            if not self.skips_layer():
                hidden = run_layer(layer, hidden, layer_mask)
            states.append(hidden)
        if self.output_norm is not None:
            states[-1] = self.output_norm(states[-1])
        return states

    def skips_layer(self) -> bool:
        """Draws whether LayerDrop skips the next layer, which then passes its input on."""
        return self.training and bool(torch.rand(()) < self.layerdrop)


class WaveformEncoder(SpeechEncoder):
    """wav2vec 2.0: from a normalised waveform to hidden states.

    The steps are those of Transformers, one by one: its complete model would watch the layers from within where all
    states are asked for, and would select frames for SpecAugment by their numbers. A compiler can take neither.

    An encoder with `feat_extract_norm="layer"` gives a padded clip the same states as the clip alone. One with
    `"group"` (the base sizes) takes statistics over the padding too, whatever the mask: there, a clip's states depend
    on its batch, and only batches of clips of one length, or of one clip, give exactly what the clip has alone.

    Args:
        config ([`PreTrainedConfig`]): the encoder's own config.
    """

    input_name = "input_values"
    front_end_class = Wav2Vec2FeatureExtractor
    # The filler of SpecAugment's masks, which only training uses and learns. facebook/wav2vec2-large-960h lacks it.
    may_be_absent = frozenset({"masked_spec_embed"})

    masks_padding: ClassVar[bool] = False
    """Whether the spans of time that SpecAugment masks may also lie in the padding."""

    @classmethod
    def minimum_samples(cls, config: PreTrainedConfig) -> int:
        return _receptive_field(config, frames=1)

    @classmethod
    def new_front_end(cls, config: PreTrainedConfig) -> Wav2Vec2FeatureExtractor:
        return Wav2Vec2FeatureExtractor(do_normalize=True)

    @property
    def dtype(self) -> torch.dtype:
        return self.model.feature_extractor.conv_layers[0].conv.weight.dtype

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.encoder.layers

    @property
    def output_norm(self) -> nn.Module | None:
        # Otherwise the encoder has its norm before the first layer.
        return self.model.encoder.layer_norm if self.model.config.do_stable_layer_norm else None

    @property
    def layerdrop(self) -> float:
        return self.model.config.layerdrop

    @property
    def layers_to_compile(self) -> list[nn.Module]:
        return [*self.model.feature_extractor.conv_layers, *self.layers]

    def layer_states(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        model = self.model
        inputs, attention_mask = self._prepared(inputs, attention_mask)
        if getattr(model, "adapter", None) is not None:
            # An adapter shortens the last state.
            output = model(inputs, attention_mask, output_hidden_states=True)
            return [*output.hidden_states[:-1], output.last_hidden_state]
        features = model.feature_extractor(inputs).transpose(1, 2)
        frame_mask = self.frame_mask(attention_mask, features.shape[1])
        projected = model.feature_projection(features)
        # HuBERT returns the projection alone.
        hidden = self._spec_augment(projected[0] if isinstance(projected, tuple) else projected, frame_mask)
        hidden = torch.where(frame_mask.unsqueeze(-1), hidden, 0.0)
        hidden = hidden + model.encoder.pos_conv_embed(hidden)
        if not model.config.do_stable_layer_norm:
            hidden = model.encoder.layer_norm(hidden)
        hidden = model.encoder.dropout(hidden)
        return [hidden, *self._states_above(hidden, frame_mask)]

    def _states_above(self, hidden: torch.Tensor, frame_mask: torch.Tensor) -> list[torch.Tensor]:
        return self.upper_states(hidden, frame_mask, lower_layers=0)

    def skips_layer(self) -> bool:
        return self.layerdrop > 0 and super().skips_layer()

    def _spec_augment(self, hidden: torch.Tensor, frame_mask: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        if not (self.training and config.apply_spec_augment):
            return hidden
        if config.mask_time_prob > 0:
            mask = _spans(config, "time", hidden.shape[:2], hidden.device, None if self.masks_padding else frame_mask)
            hidden = torch.where(mask.unsqueeze(2), self.model.masked_spec_embed.to(hidden.dtype), hidden)
        if config.mask_feature_prob > 0:
            mask = _spans(config, "feature", (len(hidden), hidden.shape[2]), hidden.device)
            hidden = torch.where(mask.unsqueeze(1), 0.0, hidden)
        return hidden

    def _prepared(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        inputs = inputs.to(self.dtype)
        # SpecAugment refuses a batch that has fewer frames than one of its masks.
        config = self.model.config
        if not (self.training and config.apply_spec_augment and config.mask_time_prob > 0):
            return inputs, attention_mask
        missing = max(0, _receptive_field(config, max(1, config.mask_time_length)) - inputs.shape[1])
        return nn.functional.pad(inputs, (0, missing)), nn.functional.pad(attention_mask, (0, missing))


class HubertEncoder(WaveformEncoder):
    """HuBERT: as [`WaveformEncoder`], but SpecAugment also masks spans of the padding."""

    masks_padding = True


class WavLMEncoder(WaveformEncoder):
    """WavLM: as [`WaveformEncoder`], but all its layers use a position bias that the first one makes."""

    layers_run_alone = False
    takes_adapters = False

    def upper_states(self, hidden: torch.Tensor, frame_mask: torch.Tensor, lower_layers: int) -> list[torch.Tensor]:
        raise ConfigError("WavLM's upper layers cannot run without its first one: turn cache_lower_layers off")

    def _states_above(self, hidden: torch.Tensor, frame_mask: torch.Tensor) -> list[torch.Tensor]:
        states: list[torch.Tensor] = []
        position_bias = None
        for layer in self.layers:
            # The first layer makes the position bias, so it is never skipped.
            if not states or not self.skips_layer():
                hidden, position_bias = layer(hidden, attention_mask=frame_mask, position_bias=position_bias)[:2]
            states.append(hidden)
        if self.output_norm is not None:
            states[-1] = self.output_norm(states[-1])
        return states


class WhisperClipEncoder(SpeechEncoder):
    """Whisper's encoder at the clips' own length: from log-mel frames to hidden states, without padding to 30 seconds.

    The position embeddings are cut to the length of the batch, the layers run with a mask, and padded frames are set to
    zero before each convolution, so that a padded clip has the same states as the clip alone. At 3,000 mel frames it
    equals `WhisperEncoder`.

    Args:
        config ([`WhisperConfig`]): the encoder's own config.
    """

    input_name = "input_features"
    front_end_class = WhisperFeatureExtractor

    @classmethod
    def new_model(cls, config: PreTrainedConfig) -> WhisperEncoder:
        return WhisperEncoder._from_config(config)

    @classmethod
    def open_model(cls, name_or_path: str, **options: Any) -> tuple[nn.Module, dict[str, Any]]:
        # A Whisper with its decoder names these weights model.encoder.*, or encoder.* if it was saved without its head.
        names = {r"^(model\.)?encoder\.": ""}
        return open_checkpoint(WhisperEncoder.from_pretrained, name_or_path, key_mapping=names, **options)

    @classmethod
    def minimum_samples(cls, config: PreTrainedConfig) -> int:
        return 400  # one window of the log-mel transform

    @classmethod
    def new_front_end(cls, config: PreTrainedConfig) -> WhisperFeatureExtractor:
        return WhisperFeatureExtractor(feature_size=config.num_mel_bins)

    @classmethod
    def longest_seconds(cls, front_end: WhisperFeatureExtractor) -> float:
        # It has position embeddings for this many frames and no more.
        return float(front_end.chunk_length)

    @property
    def dtype(self) -> torch.dtype:
        return self.model.conv1.weight.dtype

    @property
    def layers(self) -> nn.ModuleList:
        return self.model.layers

    @property
    def output_norm(self) -> nn.Module:
        return self.model.layer_norm

    @property
    def layerdrop(self) -> float:
        return self.model.layerdrop

    def layer_states(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> list[torch.Tensor]:
        model = self.model
        if inputs.shape[-1] > 2 * model.max_source_positions:
            raise ConfigError(
                f"a clip of {inputs.shape[-1]} mel frames is longer than the {2 * model.max_source_positions} that "
                "this Whisper encoder has positions for: set max_seconds to 30 or cut the clip"
            )
        inputs = self._spec_augment(inputs.to(self.dtype), attention_mask)
        hidden = nn.functional.gelu(model.conv1(inputs * attention_mask.unsqueeze(1)))
        hidden = nn.functional.gelu(model.conv2(hidden * attention_mask.unsqueeze(1))).transpose(1, 2)
        frames = hidden.shape[1]
        hidden = hidden + model.embed_positions.weight[:frames]
        hidden = nn.functional.dropout(hidden, p=model.dropout, training=self.training)
        return [hidden, *self.upper_states(hidden, self.frame_mask(attention_mask, frames), lower_layers=0)]

    def _spec_augment(self, inputs: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        config = self.model.config
        # SpecAugment refuses a batch that is shorter than one of its masks.
        if not (self.training and config.apply_spec_augment and inputs.shape[-1] > config.mask_time_length):
            return inputs
        batch, bins, frames = inputs.shape
        if config.mask_time_prob > 0:
            mask = _spans(config, "time", (batch, frames), inputs.device, attention_mask)
            inputs = torch.where(mask.unsqueeze(1), 0.0, inputs)
        if config.mask_feature_prob > 0:
            inputs = torch.where(_spans(config, "feature", (batch, bins), inputs.device).unsqueeze(2), 0.0, inputs)
        return inputs


ENCODER_CLASSES: dict[str, type[SpeechEncoder]] = {
    "wav2vec2": WaveformEncoder,
    "hubert": HubertEncoder,
    "wavlm": WavLMEncoder,
    "whisper": WhisperClipEncoder,
}
"""The class of every supported encoder, by the `model_type` of its config."""


def front_end_kind(front_end: Any) -> str | None:
    """What a feature extractor of Transformers makes of a clip, for who computes the same in batches.

    Returns:
        `waveform` or `log_mel`; None for a class that is not known here, whose result only it knows.
    """
    return {Wav2Vec2FeatureExtractor: "waveform", WhisperFeatureExtractor: "log_mel"}.get(type(front_end))


def encoder_class(model_type: str | None) -> type[SpeechEncoder]:
    """The class of an encoder.

    Args:
        model_type (`str`): of the encoder's config.

    Raises:
        ConfigError: if no class in [`ENCODER_CLASSES`] is for it.
    """
    if not isinstance(model_type, str) or model_type not in ENCODER_CLASSES:
        raise ConfigError(
            f"encoder of model_type {model_type!r} is not supported: use one of {', '.join(ENCODER_CLASSES)}"
        )
    return ENCODER_CLASSES[model_type]


def parse_encoder_config(encoder: PreTrainedConfig | dict[str, Any] | None) -> PreTrainedConfig:
    """The config of an encoder, given as a config or as plain data.

    Raises:
        ConfigError: if there is none, or the encoder is not supported.
    """
    if encoder is None:
        raise ConfigError("the config needs an encoder: pass the config of one, such as HubertConfig()")
    model_type: Any = (
        encoder.get("model_type") if isinstance(encoder, dict) else getattr(encoder, "model_type", encoder)
    )
    encoder_class(model_type)
    if isinstance(encoder, dict):
        check_lengths(f"a {model_type} encoder", encoder)
        try:
            encoder = AutoConfig.for_model(**encoder)
        except ParavoxError:
            raise
        # Configs raise errors of many classes where a field has another type than they expect.
        except Exception as error:
            raise ConfigError(
                f"the config of the {model_type} encoder cannot be used ({reason_of(error)}): correct it"
            ) from error
    check_encoder_config(encoder)
    return encoder


def build_encoder(config: PreTrainedConfig) -> SpeechEncoder:
    """An encoder with random weights.

    Args:
        config ([`PreTrainedConfig`]): of one of the [`ENCODER_CLASSES`]. It is copied, not changed.

    Raises:
        ConfigError: if the encoder is not supported.
    """
    return encoder_class(config.model_type)(copy.deepcopy(config))


def _receptive_field(config: PreTrainedConfig, frames: int) -> int:
    """How many samples the convolutions of an encoder of waveforms need for a number of frames."""
    samples = frames
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return samples


@torch.compiler.disable
def _spans(
    config: PreTrainedConfig,
    axis: str,
    shape: tuple[int, int],
    device: torch.device,
    real: torch.Tensor | None = None,
) -> torch.Tensor:
    """The spans that SpecAugment masks, drawn as Transformers draws them, from NumPy's generator.

    Args:
        config ([`PreTrainedConfig`]): of the encoder.
        axis (`str`): `time` or `feature`.
        shape (`tuple`): `(batch, length of the axis)`.
        device (`torch.device`): where the mask is needed.
        real (`torch.Tensor` of shape `(batch, length)`, *optional*): where there is no padding, which is not masked.

    Returns:
        `torch.Tensor` of booleans of this shape: true where values are masked.
    """
    probability, length = (getattr(config, f"mask_{axis}_{name}") for name in ("prob", "length"))
    least = getattr(config, f"mask_{axis}_min_masks", 0)  # WavLM has none for features
    mask = torch.from_numpy(_compute_mask_indices((shape[0], shape[1]), probability, length, real, min_masks=least))
    if device.type != "cuda":
        return mask.to(device)
    # From pinned memory, the copy does not wait for what the device is doing.
    return mask.pin_memory().to(device, non_blocking=True)
