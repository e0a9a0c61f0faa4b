"""What all models around a pre-trained encoder share: the start from its weights, freezing, and pooling over time."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from .encoder_loading import load_encoder_config, load_encoder_weights
from .encoders import SpeechEncoder
from .errors import ConfigError
from .familiarity import Familiarity
from .pooling import masked_mean
from .strict_loading import StrictlyLoadedModel
from .tasks import Task

if TYPE_CHECKING:
    from typing_extensions import Self


class ModelWithEncoder(StrictlyLoadedModel):
    """The base class of models with a [`SpeechEncoder`] as their `encoder`."""

    made_from = "to start from its encoder use {}.from_encoder"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    # The loss is a mean over the batch: the Trainer divides it by the accumulation steps.
    accepts_loss_kwargs = False

    encoder: SpeechEncoder
    tasks: dict[str, Task]
    familiarity: Familiarity | None

    @classmethod
    def from_encoder(
        cls,
        name_or_path: str,
        tasks: Sequence[Task | dict[str, Any]],
        hub_options: dict[str, Any] | None = None,
        encoder_settings: dict[str, Any] | None = None,
        **settings: Any,
    ) -> "Self":
        """A model with a pre-trained encoder and new layers on top of it.

        Args:
            name_or_path (`str`): a folder or Hub name of wav2vec 2.0, HuBERT, WavLM or Whisper, with or without a head.
            tasks (list of [`Task`] or `dict`): what to predict.
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.
            encoder_settings (`dict`, *optional*): fields of the encoder's own config to change, such as
                `{"dropout": 0.1, "apply_spec_augment": True}`.
            settings: further fields of the model's config.

        Raises:
            CheckpointError: if there is no encoder at that place, or one of its weights is missing.
            ConfigError: if a setting is unknown or does not fit.
        """
        hub_options = hub_options or {}
        encoder_config = load_encoder_config(name_or_path, **hub_options)
        encoder_config.dtype = torch.float32
        for key, value in (encoder_settings or {}).items():
            if not hasattr(encoder_config, key):
                raise ConfigError(
                    f"encoder_settings has {key!r}, which {encoder_config.model_type} does not know: see its config"
                )
            setattr(encoder_config, key, value)
        if settings.get("layer_weights") and hasattr(encoder_config, "layerdrop"):
            encoder_config.layerdrop = 0.0  # a layer that was skipped would have no state to weigh
        config_class: Any = cls.config_class
        model = cls(config_class(encoder=encoder_config, tasks=tasks, **settings))
        load_encoder_weights(model.encoder, name_or_path, **hub_options)
        return model

    def freeze_encoder(self, trainable_layers: int = 0) -> None:
        """Stops the encoder from learning: all of it, or all but its top layers.

        Args:
            trainable_layers (`int`, *optional*, defaults to 0): how many of the top layers go on learning, with the
                norm after them. With 0, the encoder also stays in evaluation mode, so that its outputs are constant.

        Raises:
            ConfigError: if the encoder has fewer layers.
        """
        layers = self.encoder.layers
        if not 0 <= trainable_layers <= len(layers):
            raise ConfigError(
                f"trainable_layers is {trainable_layers}, the encoder has {len(layers)}: give 0 to {len(layers)}"
            )
        self.encoder.requires_grad_(False)
        if trainable_layers:
            layers[-trainable_layers:].requires_grad_(True)
            if self.encoder.output_norm is not None:
                self.encoder.output_norm.requires_grad_(True)
        else:
            self.encoder.eval()

    @property
    def frozen_lower_layers(self) -> int | None:
        """How many of the encoder's layers are frozen, counted from the first one up, together with all below them.

        This is 0 where only the front end below the first layer is frozen, and None where the front end learns too.
        """
        layers = [list(layer.parameters()) for layer in self.encoder.layers]
        norm = self.encoder.output_norm
        above = {id(weight) for weights in (*layers, [] if norm is None else norm.parameters()) for weight in weights}
        if any(weight.requires_grad for weight in self.encoder.parameters() if id(weight) not in above):
            return None
        learning = [any(weight.requires_grad for weight in weights) for weights in layers]
        return learning.index(True) if True in learning else len(layers)

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether no weight of the encoder learns."""
        return not any(parameter.requires_grad for parameter in self.encoder.parameters())

    def train(self, mode: bool = True) -> "Self":
        super().train(mode)
        if mode and self.encoder_is_frozen:
            self.encoder.eval()
        return self

    def new_familiarity(self) -> Familiarity | None:
        """What the config says of the training recordings' states; its numbers come from the checkpoint."""
        settings = self.config.familiarity
        return Familiarity(self.encoder.hidden_size, **settings) if settings else None

    def unusual(self, pooled_states: torch.Tensor) -> torch.Tensor | None:
        """How unlike the training recordings clips are `(batch,)`, where 1 is the threshold; None if it is unknown.

        Args:
            pooled_states (`torch.Tensor` of shape `(batch, hidden)`): of the encoder's last layer.
        """
        return None if self.familiarity is None else self.familiarity(pooled_states)

    @property
    def pools_every_layer(self) -> bool:
        """Whether the model uses all of the encoder's layers, rather than the last one alone."""
        return False

    @property
    def pooled_layer(self) -> int | None:
        """The one hidden state that the model uses, counted from 0, the one before the first layer; None for the
        encoder's output."""
        return None

    def pool(
        self,
        *,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lower_states: torch.Tensor | None = None,
        lower_pooled_states: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The encoder's states, averaged over the real frames of each clip. The arguments are as in `forward`.

        Returns:
            `torch.Tensor` of shape `(batch, layers, hidden)`: every layer, or the one that the model uses.

        Raises:
            ConfigError: if the input that the encoder takes is missing, or `lower_states` lie above the layer that the
                model uses.
        """
        if lower_states is not None:
            return self._pool_upper_layers(lower_states, attention_mask.bool(), lower_pooled_states)
        layers, frame_mask = self.encode(
            input_values=input_values, input_features=input_features, attention_mask=attention_mask
        )
        return torch.stack([masked_mean(states, frame_mask) for states in layers], dim=1)

    def encode(
        self,
        *,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
    ) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Runs the encoder once. The arguments are as in `forward`.

        Returns:
            The layers that the model uses, each `(batch, frames, hidden)`, and which frames are real
            `(batch, frames)`.

        Raises:
            ConfigError: if the input that the encoder takes is missing.
        """
        inputs = input_values if self.main_input_name == "input_values" else input_features
        if inputs is None:
            raise ConfigError(
                f"this model's encoder takes {self.main_input_name}: use the feature extractor saved beside it"
            )
        if attention_mask is None:
            attention_mask = torch.ones(inputs.shape[0], inputs.shape[-1], dtype=torch.long, device=inputs.device)
        if self.pools_every_layer:
            layers = self.encoder.layer_states(inputs, attention_mask)
        elif self.pooled_layer is not None:
            layers = [self.encoder.layer_states(inputs, attention_mask)[self.pooled_layer]]
        else:
            layers = [self.encoder.last_state(inputs, attention_mask)]
        return layers, self.encoder.frame_mask(attention_mask, layers[0].shape[1])

    def _pool_upper_layers(
        self, lower_states: torch.Tensor, frame_mask: torch.Tensor, lower_pooled_states: torch.Tensor | None
    ) -> torch.Tensor:
        lower_layers = self.frozen_lower_layers
        if lower_layers is None:
            raise ConfigError(
                "lower_states need a frozen front end, but this model's front end learns: freeze it first"
            )
        layers = self.encoder.upper_states(lower_states, frame_mask, lower_layers)
        if self.pooled_layer is not None:
            if self.pooled_layer < lower_layers:
                raise ConfigError(
                    f"lower_states of {lower_layers} layers lie above the hidden state {self.pooled_layer} that this "
                    "model uses: give the recording's input"
                )
            return masked_mean([lower_states, *layers][self.pooled_layer - lower_layers], frame_mask).unsqueeze(1)
        if not self.pools_every_layer:
            return masked_mean(layers[-1], frame_mask).unsqueeze(1)
        upper = torch.stack([masked_mean(states, frame_mask) for states in layers], dim=1)
        return torch.cat([lower_pooled_states, upper], dim=1)

    def check_labels(self, task: str | None, labels: dict[str, torch.Tensor]) -> None:
        """Raises [`ConfigError`] where the task is not one of the model's, or its labels are missing."""
        if task not in self.tasks or task not in labels:
            raise ConfigError(
                f"task {task!r} with labels of {sorted(labels)}: give one of {list(self.tasks)} and its labels"
            )
