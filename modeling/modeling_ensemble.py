"""Several Burst2Vec models that predict as one: the mean of their predictions (section 4.2)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.utils import ModelOutput

from .configuration_burst2vec import Burst2VecConfig
from .configuration_ensemble import Burst2VecEnsembleConfig
from .modeling_burst2vec import Burst2VecForMultiTask
from .strict_loading import StrictlyLoadedModel
from .tasks import parse_tasks

if TYPE_CHECKING:
    from typing import Self


@dataclass
class Burst2VecEnsembleOutput(ModelOutput):
    """What [`Burst2VecEnsemble`] returns for a batch.

    Args:
        predictions (`dict`): per task, the mean over the members: intensities `(batch, outputs)` in 0..1, a scalar
            `(batch,)` in its unit, or class probabilities `(batch, classes)`.
        member_predictions (`tuple` of `dict`): the predictions of each member, in the order of the config.
    """

    predictions: dict[str, torch.Tensor] | None = None
    member_predictions: tuple[dict[str, torch.Tensor], ...] | None = None


class Burst2VecEnsemble(StrictlyLoadedModel):
    """Predicts the mean of its members' intensities, scalars and probabilities. The members may have different
    encoders.

    It is for inference and takes no labels: train the members one by one, as [`Burst2VecForMultiTask`].

    Args:
        config ([`Burst2VecEnsembleConfig`]): weights are random; use [`~Burst2VecEnsemble.from_members`] to put saved
            models together.
        members (list of [`Burst2VecForMultiTask`], *optional*): the members themselves. By default they are made from
            the config.
    """

    config_class = Burst2VecEnsembleConfig
    base_model_prefix = "burst2vec_ensemble"
    made_from = "to put saved models together use {}.from_members"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: Burst2VecEnsembleConfig, members: list[Burst2VecForMultiTask] | None = None) -> None:
        # The user's choice, None by default. The next line replaces it with a choice that WavLM would refuse.
        attention = config._attn_implementation
        super().__init__(config)
        if members is None:
            members = [self._new_member(member, attention) for member in config.member_configs()]
        self.members = nn.ModuleList(members)
        self.tasks = {task.name: task for task in parse_tasks(config.tasks)}
        inputs = {member.main_input_name for member in members}
        self.main_input_name = "input_values" if "input_values" in inputs else "input_features"
        self.post_init()

    @staticmethod
    def _new_member(config: Burst2VecConfig, attention: str | None) -> Burst2VecForMultiTask:
        # Transformers passes this on to the configs inside a config, but not to a list of plain data.
        config._attn_implementation = attention
        return Burst2VecForMultiTask(config)

    @classmethod
    def from_members(cls, names_or_paths: list[str], hub_options: dict[str, Any] | None = None) -> "Self":
        """An ensemble of saved models, in float32 and in evaluation mode.

        Args:
            names_or_paths (list of `str`): folders or Hub names of [`Burst2VecForMultiTask`] models, at least two.
            hub_options (`dict`, *optional*): passed to `from_pretrained`, such as `revision` or `token`.

        Raises:
            CheckpointError: if one of them cannot be opened, or is of another class.
            ConfigError: if there are fewer than two, or their tasks differ.
        """
        options = {"dtype": torch.float32, **(hub_options or {})}
        members = [Burst2VecForMultiTask.from_pretrained(name, **options) for name in names_or_paths]
        configs: list[Any] = [member.config for member in members]
        return cls(cls.config_class(members=configs), members).eval()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        feature_attention_mask: torch.Tensor | None = None,
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

        Raises:
            ConfigError: if the input of one of the members is missing.
        """
        masks = {
            "input_values": attention_mask,
            "input_features": attention_mask if input_values is None else feature_attention_mask,
        }
        given = tuple(
            member(
                input_values=input_values,
                input_features=input_features,
                attention_mask=masks[member.main_input_name],
            ).predictions
            for member in self.members
        )
        means = {task: torch.stack([predictions[task] for predictions in given]).mean(dim=0) for task in self.tasks}
        return Burst2VecEnsembleOutput(predictions=means, member_predictions=given)


Burst2VecEnsembleConfig.register_for_auto_class()
Burst2VecEnsemble.register_for_auto_class("AutoModel")
