"""The settings that define a Burst2Vec model."""

import math
from typing import TYPE_CHECKING, Any, TypeVar

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

Number = TypeVar("Number", int, float)
ADVERSARIAL_SCOPES = ("encoder", "extractor")
TASK_WEIGHTINGS = ("equal", "variances")
FORMAT_VERSION = 1


class Burst2VecConfig(ModelWithEncoderConfig):
    """The settings of a [`Burst2VecForMultiTask`].

    Args:
        encoder ([`PreTrainedConfig`] or `dict`): of wav2vec 2.0, HuBERT, WavLM or Whisper.
        tasks (list of [`Task`] or `dict`): what to predict, in the order of the discriminator's outputs.
        projection_size (`int`, *optional*, defaults to 256): width of the projected representation.
        feature_size (`int`, *optional*, defaults to 256): width of the shared, specific and joint representations.
        dropout (`float`, *optional*, defaults to 0.1): in the projection and the extractors.
        adversarial (`bool`, *optional*, defaults to `True`): `False` is the paper's -Adv: no discriminator loss and no
            adversarial loss.
        discriminator_weight (`float`, *optional*, defaults to 0.5): alpha 1 of equation 8.
        adversarial_weight (`float`, *optional*, defaults to 0.25): alpha 2 of equation 8.
        adversarial_scope (`str`, *optional*, defaults to `"encoder"`): how far a reversed gradient flows: with
            `encoder` through extractor, projection and encoder, with `extractor` only through the extractor.
        gradient_reversal (`bool`, *optional*, defaults to `True`): `False` keeps the adversarial losses, but does not
            reverse their gradients. They are then auxiliary losses: a control that tells the effect of the reversal
            from that of more supervision.
        layer_weights (`bool`, *optional*, defaults to `False`): pool a learned weighted mean of all the encoder's
            layers instead of its last one.
        task_weighting (`str`, *optional*, defaults to `"equal"`): `equal`, as in the paper, or `variances`, which
            weights the tasks' output losses by learned variances, as the challenge's baseline does (Kendall et al.
            2018).
        format_version (`int`, *optional*): the version of the saved model's format. A version newer than this code is
            refused.
        calibration, familiarity (`dict`, *optional*): as in [`ModelWithEncoderConfig`]; `paravox calibrate` sets them.

    Raises:
        ConfigError: if a setting is out of its range or contradicts another.
        CheckpointError: if the config was written by a newer paravox.
    """

    model_type = "burst2vec"
    sub_configs = {"encoder": AutoConfig}

    def __init__(
        self,
        encoder: PreTrainedConfig | dict[str, Any] | None = None,
        tasks: list[Task | dict[str, Any]] | None = None,
        projection_size: int = 256,
        feature_size: int = 256,
        dropout: float = 0.1,
        adversarial: bool = True,
        discriminator_weight: float = 0.5,
        adversarial_weight: float = 0.25,
        adversarial_scope: str = "encoder",
        gradient_reversal: bool = True,
        layer_weights: bool = False,
        task_weighting: str = "equal",
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        check_format_version(format_version, FORMAT_VERSION)
        self.encoder = parse_encoder_config(encoder)
        self.tasks = [task.to_dict() for task in parse_tasks(tasks)]
        self.projection_size = size_of("projection_size", projection_size)
        self.feature_size = size_of("feature_size", feature_size)
        self.dropout = _at_least("dropout", dropout, 0)
        if not dropout <= 1:
            raise ConfigError(f"dropout is {dropout!r}: give a number from 0 to 1")
        switches = {"adversarial": adversarial, "gradient_reversal": gradient_reversal, "layer_weights": layer_weights}
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise ConfigError(f"{name} is {value!r}: give true or false")
        self.adversarial = adversarial
        self.discriminator_weight = _at_least("discriminator_weight", discriminator_weight, 0)
        self.adversarial_weight = _at_least("adversarial_weight", adversarial_weight, 0)
        if adversarial_scope not in ADVERSARIAL_SCOPES:
            raise ConfigError(f"adversarial_scope {adversarial_scope!r}: use {' or '.join(ADVERSARIAL_SCOPES)}")
        self.adversarial_scope = adversarial_scope
        if not adversarial and not gradient_reversal:
            raise ConfigError(
                "gradient_reversal: false keeps the adversarial losses as auxiliary ones, but adversarial: false "
                "removes them: set only one of the two to false"
            )
        self.gradient_reversal = gradient_reversal
        self.layer_weights = layer_weights
        if layer_weights and getattr(self.encoder, "layerdrop", False):
            raise ConfigError(
                f"layer_weights needs every layer, but the encoder's layerdrop is {self.encoder.layerdrop}: set it to 0"
            )
        # Models saved before version 0.2 name it differently.
        if kwargs.pop("uncertainty_weighting", False):
            task_weighting = "variances"
        if task_weighting not in TASK_WEIGHTINGS:
            raise ConfigError(f"task_weighting {task_weighting!r}: use {' or '.join(TASK_WEIGHTINGS)}")
        self.task_weighting = task_weighting
        self.format_version = format_version
        super().__init__(**kwargs)


def _at_least(name: str, value: Number, lowest: float) -> Number:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not lowest <= value < math.inf:
        raise ConfigError(f"{name} is {value!r}: give a number of at least {lowest}")
    return value
