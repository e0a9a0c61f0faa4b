"""The settings that define a model for pre-finetuning."""

from typing import TYPE_CHECKING, Any

from transformers import AutoConfig

from .bounds import size_of
from .configuration_with_encoder import ModelWithEncoderConfig
from .encoders import parse_encoder_config
from .errors import ConfigError
from .opening import check_format_version
from .tasks import Task, parse_tasks
from .transformers_versions import PreTrainedConfig

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .calibration import calibrate  # noqa: F401
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .familiarity import Familiarity  # noqa: F401
    from .losses import task_loss  # noqa: F401

FORMAT_VERSION = 1


class EncoderPreFinetuningConfig(ModelWithEncoderConfig):
    """The settings of an [`EncoderForPreFinetuning`].

    Args:
        encoder ([`PreTrainedConfig`] or `dict`): of wav2vec 2.0, HuBERT, WavLM or Whisper.
        tasks (list of [`Task`] or `dict`): one per corpus, of kind `classes`, with the corpus's name and label set.
        projection_size (`int`, *optional*, defaults to 256): width of the projector that all corpora share, as in
            `Wav2Vec2ForSequenceClassification`.
        layer (`int`, *optional*): which of the encoder's hidden states is averaged over time, counted from 0, the one
            before the first layer. By default it is the encoder's output.
        format_version (`int`, *optional*): the version of the saved model's format. A version newer than this code is
            refused.
        calibration, familiarity (`dict`, *optional*): as in [`ModelWithEncoderConfig`]; `paravox calibrate` sets them.

    Raises:
        ConfigError: if a setting is out of its range or a task is not of kind `classes`.
        CheckpointError: if the config was written by a newer paravox.
    """

    model_type = "encoder_prefinetuning"
    sub_configs = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        tasks: list[Task | dict[str, Any]] | None = None,
        projection_size: int = 256,
        layer: int | None = None,
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        check_format_version(format_version, FORMAT_VERSION)
        self.encoder = parse_encoder_config(encoder)
        self._check_encoder()
        parsed = parse_tasks(tasks)
        others = [task for task in parsed if task.kind != "classes"]
        if others:
            raise ConfigError(
                f"task {others[0].name!r} is of kind {others[0].kind!r}, but pre-finetuning only takes tasks of kind "
                "'classes': remove it"
            )
        self.tasks = [task.to_dict() for task in parsed]
        self.projection_size = size_of("projection_size", projection_size)
        layers = self.encoder.num_hidden_layers
        if layer is not None and (type(layer) is not int or not 0 <= layer <= layers):
            raise ConfigError(f"layer is {layer!r}: give a whole number from 0 to {layers}, the layers of the encoder")
        self.layer = layer
        self.format_version = format_version
        super().__init__(**kwargs)

    def _check_encoder(self) -> None:
        """Checks the encoder; for derived classes that accept fewer encoders."""


class Wav2Vec2PreFinetuningConfig(EncoderPreFinetuningConfig):
    """The settings of a [`Wav2Vec2ForPreFinetuning`]: those of its base class, with a wav2vec 2.0 encoder."""

    model_type = "wav2vec2_prefinetuning"

    # If the class had no __init__ of its own, Transformers would generate one that skips the checks above.
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def _check_encoder(self) -> None:
        found = self.encoder.model_type
        if found != "wav2vec2":
            raise ConfigError(
                f"Wav2Vec2ForPreFinetuning takes a wav2vec2 encoder, found {found!r}: use EncoderForPreFinetuning"
            )


EncoderPreFinetuningConfig.register_for_auto_class()
Wav2Vec2PreFinetuningConfig.register_for_auto_class()
