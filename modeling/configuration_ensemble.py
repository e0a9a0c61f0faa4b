"""The settings that define an ensemble of Burst2Vec models and of the challenge's baseline."""

from typing import TYPE_CHECKING, Any

from .configuration_burst2vec import Burst2VecConfig
from .configuration_compare import ComParEConfig
from .configuration_saved_model import SavedModelConfig
from .errors import ConfigError
from .opening import check_format_version
from .tasks import parse_tasks, predict_the_same

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .bounds import check_fields  # noqa: F401
    from .calibration import calibrate  # noqa: F401
    from .configuration_with_encoder import ModelWithEncoderConfig  # noqa: F401
    from .encoders import SpeechEncoder  # noqa: F401
    from .familiarity import Familiarity  # noqa: F401
    from .losses import task_loss  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401

FORMAT_VERSION = 1
MOST_MEMBERS = 100
MEMBER_CONFIGS: dict[str, type[Burst2VecConfig | ComParEConfig]] = {
    config_class.model_type: config_class for config_class in (Burst2VecConfig, ComParEConfig)
}

# Fields that say where a config was opened, by which code and at which precision. The ensemble has its own.
_NOT_OF_A_MEMBER = ("_name_or_path", "architectures", "auto_map", "custom_pipelines", "dtype", "transformers_version")


class Burst2VecEnsembleConfig(SavedModelConfig):
    """The settings of a [`Burst2VecEnsemble`].

    Args:
        members (list of [`Burst2VecConfig`], [`ComParEConfig`] or `dict`): at least two, with any encoders. Their tasks
            must have the same outputs, but may be learned differently. They are stored as plain data.
        format_version (`int`, *optional*): the version of the saved model's format. A version newer than this code is
            refused.

    Raises:
        ConfigError: if there are fewer than two members, their tasks differ, or one is the config of another model.
        CheckpointError: if the config was written by a newer paravox.
    """

    model_type = "burst2vec_ensemble"

    def __init__(
        self,
        members: list[Burst2VecConfig | ComParEConfig | dict[str, Any]] | None = None,
        format_version: int = FORMAT_VERSION,
        **kwargs: Any,
    ) -> None:
        check_format_version(format_version, FORMAT_VERSION)
        count = len(members) if isinstance(members, (list, tuple)) else 0
        if count > MOST_MEMBERS:
            raise ConfigError(f"an ensemble has at most {MOST_MEMBERS} members, found {count:,}: give fewer")
        if count < 2:
            raise ConfigError(
                f"an ensemble needs at least two members, found {count}: give the configs of saved models"
            )
        configs = [_parse_member(number, member) for number, member in enumerate(members, start=1)]
        for number, config in enumerate(configs[1:], start=2):
            if not predict_the_same(parse_tasks(config.tasks), parse_tasks(configs[0].tasks)):
                raise ConfigError(
                    f"{_name(number, config)} has other tasks than {_name(1, configs[0])}: average models of the same "
                    "tasks"
                )
        self.members = [_as_plain_data(config) for config in configs]
        self.format_version = format_version
        super().__init__(**kwargs)

    @property
    def tasks(self) -> list[dict[str, Any]]:
        """The tasks that every member predicts, as in [`Burst2VecConfig`]."""
        return self.members[0]["tasks"]

    def member_configs(self) -> list[Burst2VecConfig | ComParEConfig]:
        """New configs of the members, made from the plain data."""
        return [_config_class(member)(**member) for member in self.members]


def _parse_member(number: int, member: Any) -> Burst2VecConfig | ComParEConfig:
    if isinstance(member, dict):
        found = member.get("model_type", Burst2VecConfig.model_type)
    else:
        # The class says nothing: a config that came with a checkpoint's code has a class of its own.
        found = getattr(member, "model_type", type(member).__name__)
    if not isinstance(found, str) or found not in MEMBER_CONFIGS:
        raise ConfigError(
            f"member {number} of the ensemble is of model_type {found!r}, which cannot be averaged: give the configs "
            "of Burst2Vec models or of the challenge's baseline"
        )
    return _config_class(member)(**member) if isinstance(member, dict) else member


def _config_class(member: dict[str, Any]) -> type[Burst2VecConfig | ComParEConfig]:
    return MEMBER_CONFIGS[member.get("model_type", Burst2VecConfig.model_type)]


def _name(number: int, config: Burst2VecConfig | ComParEConfig) -> str:
    return f"member {number} of the ensemble" + (f" ({config.name_or_path})" if config.name_or_path else "")


def _as_plain_data(config: Burst2VecConfig | ComParEConfig) -> dict[str, Any]:
    fields = config.to_diff_dict()
    if "encoder" in fields:
        fields["encoder"] = {key: value for key, value in fields["encoder"].items() if key not in _NOT_OF_A_MEMBER}
    return {key: value for key, value in fields.items() if key not in _NOT_OF_A_MEMBER}


Burst2VecEnsembleConfig.register_for_auto_class()
