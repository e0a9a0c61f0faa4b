"""What every model around a pre-trained encoder shares: strict loading, and freezing the encoder or its lower layers."""

from typing import Any

from transformers import PreTrainedModel

from .encoders import SpeechEncoder, open_checkpoint
from .errors import CheckpointError, ConfigError


class ModelWithEncoder(PreTrainedModel):
    """A model with an `encoder` of the seam, to be derived from."""

    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    # The loss is a mean over the batch: the Trainer divides it by the accumulation steps.
    accepts_loss_kwargs = False

    encoder: SpeechEncoder

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *model_args, **kwargs):
        """Opens a saved model; as in Transformers, but a checkpoint that lacks weights is an error.

        Raises:
            CheckpointError: if the checkpoint cannot be read, is of another class, or lacks weights of this one.
        """
        with_info = kwargs.pop("output_loading_info", False)
        if kwargs.get("config") is None:
            cls._check_model_type(pretrained_model_name_or_path, kwargs)
        # Weights of another shape are reported below, by name, instead of raised.
        kwargs |= {"output_loading_info": True, "ignore_mismatched_sizes": True}
        model, info = open_checkpoint(super().from_pretrained, pretrained_model_name_or_path, *model_args, **kwargs)
        absent = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info["mismatched_keys"])
        if absent:
            raise CheckpointError(
                f"checkpoint {str(pretrained_model_name_or_path)!r} lacks {len(absent)} weights of {cls.__name__} "
                f"({', '.join(absent[:3])}): it is incomplete or of another shape; save or download it again"
            )
        return (model, info) if with_info else model

    def freeze_encoder(self, trainable_layers: int = 0) -> None:
        """Stops the encoder from learning, all of it or all but its top layers.

        Args:
            trainable_layers (`int`, *optional*, defaults to 0): how many of the top layers go on learning, with the norm
                behind them. With 0, the encoder also stays in evaluation mode, so that its outputs are constant.

        Raises:
            ConfigError: if there are not that many layers.
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
    def frozen_lower_layers(self) -> int:
        """How many of the encoder's layers, from the first one up, have nothing in or below them that learns."""
        layers = [list(layer.parameters()) for layer in self.encoder.layers]
        norm = self.encoder.output_norm
        above = {id(weight) for weights in (*layers, [] if norm is None else norm.parameters()) for weight in weights}
        if any(weight.requires_grad for weight in self.encoder.parameters() if id(weight) not in above):
            return 0
        learning = [any(weight.requires_grad for weight in weights) for weights in layers]
        return learning.index(True) if True in learning else len(layers)

    @property
    def encoder_is_frozen(self) -> bool:
        """Whether no weight of the encoder learns."""
        return not any(parameter.requires_grad for parameter in self.encoder.parameters())

    def train(self, mode: bool = True) -> "ModelWithEncoder":
        super().train(mode)
        if mode and self.encoder_is_frozen:
            self.encoder.eval()
        return self

    @classmethod
    def _check_model_type(cls, name_or_path: str, hub_options: dict[str, Any]) -> None:
        names = ("revision", "token", "cache_dir", "local_files_only")
        options = {name: hub_options[name] for name in names if name in hub_options}
        config_class = cls.config_class
        found = open_checkpoint(config_class.get_config_dict, name_or_path, **options)[0].get("model_type")
        if found != config_class.model_type:
            raise CheckpointError(
                f"checkpoint {str(name_or_path)!r} is of model_type {found!r}, not {config_class.model_type!r}: to start "
                f"from its encoder use {cls.__name__}.from_encoder"
            )
