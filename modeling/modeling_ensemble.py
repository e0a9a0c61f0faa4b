"""Several models that predict as one: the mean of their predictions (Burst2Vec, section 4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.utils import ModelOutput

from .configuration_burst2vec import Burst2VecConfig
from .configuration_compare import ComParEConfig
from .configuration_ensemble import Burst2VecEnsembleConfig
from .modeling_burst2vec import Burst2VecForMultiTask
from .modeling_compare import ComParEForMultiTask
from .opening import model_type_of
from .strict_loading import StrictlyLoadedModel
from .tasks import parse_tasks

if TYPE_CHECKING:
    from typing_extensions import Self

    from .audio import load_audio  # noqa: F401
    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401

    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .bounds import check_fields  # noqa: F401
    from .calibration import calibrate  # noqa: F401
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .configuration_with_encoder import ModelWithEncoderConfig  # noqa: F401
    from .downloads import downloaded  # noqa: F401
    from .encoder_loading import load_encoder_config  # noqa: F401
    from .encoders import SpeechEncoder  # noqa: F401
    from .errors import ParavoxError  # noqa: F401
    from .familiarity import Familiarity  # noqa: F401
    from .gradient_reversal import reverse_gradient  # noqa: F401
    from .losses import task_loss  # noqa: F401
    from .model_with_encoder import ModelWithEncoder  # noqa: F401
    from .pipeline_vocal_burst import VocalBurstAnalysisPipeline  # noqa: F401
    from .pooling import masked_mean  # noqa: F401
    from .records import Windows  # noqa: F401
    from .task_modules import TaskModules  # noqa: F401
    from .task_weights import TaskWeights  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401

Member = Burst2VecForMultiTask | ComParEForMultiTask
MEMBER_CLASSES: dict[str, type[Member]] = {
    Burst2VecConfig.model_type: Burst2VecForMultiTask,
    ComParEConfig.model_type: ComParEForMultiTask,
}


@dataclass
class Burst2VecEnsembleOutput(ModelOutput):
    """What [`Burst2VecEnsemble`] returns for a batch.

    Args:
        predictions (`dict`): per task, the mean over the members: intensities `(batch, outputs)` in 0..1, a scalar
            `(batch,)` in its unit, or class probabilities `(batch, classes)`.
        calibrated (`dict`): the same of the members' calibrated outputs.
        unusual (`torch.Tensor` of shape `(batch,)`, *optional*): how unlike the training recordings each clip is, the
            mean over the members that know theirs; 1 is the threshold.
        member_predictions (`tuple` of `dict`): the predictions of each member, in the order of the config.
    """

    predictions: dict[str, torch.Tensor] | None = None
    calibrated: dict[str, torch.Tensor] | None = None
    unusual: torch.Tensor | None = None
    member_predictions: tuple[dict[str, torch.Tensor], ...] | None = None


class Burst2VecEnsemble(StrictlyLoadedModel):
    """Predicts the mean of its members' intensities, scalars and probabilities. The members may have different
    encoders, and some may be the challenge's baseline, [`ComParEForMultiTask`].

    It is for inference and takes no labels: train the members one by one.

    Args:
        config ([`Burst2VecEnsembleConfig`]): weights are random; use [`~Burst2VecEnsemble.from_members`] to put saved
            models together.
        members (list of [`Burst2VecForMultiTask`] or [`ComParEForMultiTask`], *optional*): the members themselves. By
            default they are made from the config.
    """

    config_class = Burst2VecEnsembleConfig
    base_model_prefix = "burst2vec_ensemble"
    made_from = "to put saved models together use {}.from_members"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: Burst2VecEnsembleConfig, members: list[Member] | None = None) -> None:
        # The user's choice, None by default. The next line replaces it with a choice that WavLM would refuse.
        attention = config._attn_implementation
        super().__init__(config)
        if members is None:
            members = [self._new_member(member, attention) for member in config.member_configs()]
        if any(isinstance(member, ComParEForMultiTask) for member in members):
            # Only then, because Transformers before 5.0 refuses names of modules that are not there.
            self._keep_in_fp32_modules_strict = ComParEForMultiTask._keep_in_fp32_modules_strict
        self.members = nn.ModuleList(members)
        self.tasks = {task.name: task for task in parse_tasks(config.tasks)}
        inputs = {member.main_input_name for member in members}
        names = ("input_values", "input_features", "functionals")
        self.main_input_name = next(name for name in names if name in inputs)
        self.post_init()

    @staticmethod
    def _new_member(config: Any, attention: str | None) -> Member:
        # Transformers passes this on to the configs inside a config, but not to a list of plain data.
        config._attn_implementation = attention
        return MEMBER_CLASSES[config.model_type](config)

    @classmethod
    def from_members(cls, names_or_paths: list[str], hub_options: dict[str, Any] | None = None) -> "Self":
        """An ensemble of saved models, in float32 and in evaluation mode.

        Args:
            names_or_paths (list of `str`): folders or Hub names of [`Burst2VecForMultiTask`] or [`ComParEForMultiTask`]
                models, at least two.
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.

        Raises:
            CheckpointError: if one of them cannot be opened, or is of another class.
            ConfigError: if there are fewer than two, or their tasks differ.
        """
        options = {"dtype": torch.float32, **(hub_options or {})}
        members = [cls._open_member(name, options) for name in names_or_paths]
        configs: list[Any] = [member.config for member in members]
        return cls(cls.config_class(members=configs), members).eval()

    @staticmethod
    def _open_member(name: str, options: dict[str, Any]) -> Member:
        hub_options = {key: value for key, value in options.items() if key != "dtype"}
        found: Any = model_type_of(name, **hub_options)
        # A model of another class is refused where it is opened.
        return MEMBER_CLASSES.get(found, Burst2VecForMultiTask).from_pretrained(name, **options)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
        functionals: torch.Tensor | None = None,
    ) -> Burst2VecEnsembleOutput:
        """Predicts all tasks with every member, and averages the predictions.

        Args:
            input_values (`torch.Tensor` of shape `(batch, samples)`): for the members with an encoder of waveforms.
            input_features (`torch.Tensor` of shape `(batch, mel bins, mel frames)`): for the members with an encoder of
                log-mel frames.
            attention_mask (`torch.Tensor` of shape `(batch, samples or mel frames)`, *optional*): 1 where the input is
                real. By default all of it is. Where both inputs are given, it belongs to `input_values`.
            feature_attention_mask (`torch.Tensor` of shape `(batch, mel frames)`, *optional*): the mask of
                `input_features` where both inputs are given.
            functionals (`torch.Tensor` of shape `(batch, functionals)`): for the members that are the challenge's
                baseline.

        Raises:
            ConfigError: if the input of one of the members is missing.
        """
        waveforms = {"input_values": input_values, "attention_mask": attention_mask}
        log_mel_mask = attention_mask if input_values is None else feature_attention_mask
        log_mel = {"input_features": input_features, "attention_mask": log_mel_mask}
        inputs = {"input_values": waveforms, "input_features": log_mel, "functionals": {"functionals": functionals}}
        outputs = [member(**inputs[member.main_input_name]) for member in self.members]
        predictions = tuple(output.predictions for output in outputs)
        unusual = [output.unusual for output in outputs if output.get("unusual") is not None]
        return Burst2VecEnsembleOutput(
            predictions=self._means(predictions),
            calibrated=self._means([output.get("calibrated", output.predictions) for output in outputs]),
            unusual=torch.stack(unusual).mean(dim=0) if unusual else None,
            member_predictions=predictions,
        )

    def _means(self, outputs: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        return {task: torch.stack([output[task] for output in outputs]).mean(dim=0) for task in self.tasks}


Burst2VecEnsembleConfig.register_for_auto_class()
Burst2VecEnsemble.register_for_auto_class("AutoModel")
