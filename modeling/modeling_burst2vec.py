"""Burst2Vec: an encoder with one shared and one specific representation per task, debiased against each other.

The paper describes the model in sections 3.1 to 3.4; the numbers of equations are those of the paper.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers.utils import ModelOutput

from .calibration import calibrate
from .configuration_burst2vec import Burst2VecConfig
from .encoders import build_encoder
from .gradient_reversal import reverse_gradient
from .losses import UNKNOWN_CLASS, at_least_float32, cross_entropy_loss, partly_known, task_loss
from .model_with_encoder import ModelWithEncoder
from .pooling import LayerWeights
from .task_modules import TaskModules
from .task_weights import TaskWeights
from .tasks import Task, parse_tasks

if TYPE_CHECKING:
    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .audio import load_audio  # noqa: F401
    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401
    from .bounds import check_fields  # noqa: F401
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .configuration_with_encoder import ModelWithEncoderConfig  # noqa: F401
    from .downloads import downloaded  # noqa: F401
    from .encoder_loading import load_encoder_config  # noqa: F401
    from .errors import ParavoxError  # noqa: F401
    from .familiarity import Familiarity  # noqa: F401
    from .opening import open_checkpoint  # noqa: F401
    from .pipeline_vocal_burst import VocalBurstAnalysisPipeline  # noqa: F401
    from .records import Windows  # noqa: F401
    from .strict_loading import StrictlyLoadedModel  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401


@dataclass
class Burst2VecOutput(ModelOutput):
    """What [`Burst2VecForMultiTask`] returns for a batch.

    Args:
        loss (`torch.Tensor`, *optional*): what is minimised, a scalar. It is there if labels were given.
        loss_terms (`dict`, *optional*): `shared`, `specific`, `joint` and, where the model is adversarial,
            `discriminator` and `adversarial`: the parts of the loss before they are weighted, each a scalar. In a batch
            of all tasks, their names begin with the task, such as `age/shared`.
        discriminator_accuracy (`dict`, *optional*): per task of the batch, the share of its clips whose task the
            discriminator recognises from their shared representation, 0..1. It is there if there is a `discriminator`
            term.
        predictions (`dict`): per task, intensities `(batch, outputs)` in 0..1, a scalar `(batch,)` in its unit, or
            class probabilities `(batch, classes)`.
        calibrated (`dict`): per task, what `predictions` has, calibrated where the config says how.
        unusual (`torch.Tensor` of shape `(batch,)`, *optional*): how unlike the training recordings each clip is, where
            1 is the threshold. It is there if the model knows them.
        logits (`dict`): per task, `(batch, outputs)`: the head's outputs for the joint representation, not clipped.
        representations (`dict`): `projected` and `shared`, each `(batch, size)`; `specific` and `joint`, per task.
        pooled_states (`torch.Tensor` of shape `(batch, layers, hidden)`): the encoder's layers averaged over time.
    """

    loss: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
    discriminator_accuracy: dict[str, torch.Tensor] | None = None
    predictions: dict[str, torch.Tensor] | None = None
    calibrated: dict[str, torch.Tensor] | None = None
    unusual: torch.Tensor | None = None
    logits: dict[str, torch.Tensor] | None = None
    representations: dict[str, Any] | None = None
    pooled_states: torch.Tensor | None = None


class Extractor(nn.Sequential):
    """A small network from one representation to another: linear, layer norm, GELU, dropout."""

    def __init__(self, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), nn.GELU(), nn.Dropout(dropout))


class Burst2VecForMultiTask(ModelWithEncoder):
    """Predicts every task of its config from a recording, with one pass of the encoder.

    The mean of the encoder's states over time is projected. From the projection, the model computes one shared
    representation and one specific representation per task. The concatenation of the two, projected, is the task's
    joint representation, from which the task is predicted.

    Args:
        config ([`Burst2VecConfig`]): weights are random; use [`~Burst2VecForMultiTask.from_encoder`] to start from a
            pre-trained encoder.
    """

    config_class = Burst2VecConfig
    base_model_prefix = "burst2vec"

    def __init__(self, config: Burst2VecConfig) -> None:
        super().__init__(config)
        self.tasks = {task.name: task for task in parse_tasks(config.tasks)}
        self.encoder = build_encoder(config.encoder)
        self.main_input_name = self.encoder.input_name
        self.layer_weights = LayerWeights(len(self.encoder.layers) + 1) if config.layer_weights else None
        self.projection = Extractor(self.encoder.hidden_size, config.projection_size, config.dropout)
        self.shared_extractor = self._extractor()
        self.specific_extractors = TaskModules({name: self._extractor() for name in self.tasks})
        size = config.feature_size
        self.joint_projections = TaskModules({name: nn.Linear(2 * size, size) for name in self.tasks})
        self.heads = TaskModules({name: nn.Linear(size, task.outputs) for name, task in self.tasks.items()})
        if config.adversarial:
            self.discriminator = nn.Sequential(Extractor(size, size, config.dropout), nn.Linear(size, len(self.tasks)))
        self.task_weights = TaskWeights(len(self.tasks)) if config.task_weighting == "variances" else None
        self.familiarity = self.new_familiarity()
        self.post_init()

    @property
    def pools_every_layer(self) -> bool:
        return self.layer_weights is not None

    def _extractor(self) -> Extractor:
        return Extractor(self.config.projection_size, self.config.feature_size, self.config.dropout)

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, LayerWeights):
            nn.init.zeros_(module.scores)
        elif isinstance(module, TaskWeights):
            nn.init.constant_(module.log_variances, module.INITIAL_LOG_VARIANCE)

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        pooled_states: torch.Tensor | None = None,
        lower_states: torch.Tensor | None = None,
        lower_pooled_states: torch.Tensor | None = None,
        task: str | None = None,
        labels: dict[str, torch.Tensor] | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> Burst2VecOutput:
        """Predicts all tasks. With labels, it also computes the loss.

        Args:
            input_values (`torch.Tensor` of shape `(batch, samples)`): for an encoder of waveforms.
            input_features (`torch.Tensor` of shape `(batch, mel bins, mel frames)`): for an encoder of log-mel frames.
            attention_mask (`torch.Tensor` of shape `(batch, samples or mel frames)`, *optional*): 1 where the input is
                real. By default all of it is.
            pooled_states (`torch.Tensor` of shape `(batch, layers, hidden)`, *optional*): the encoder's pooled output
                of an earlier pass, given instead of its input so that a frozen encoder runs only once.
            lower_states (`torch.Tensor` of shape `(batch, frames, hidden)`, *optional*): the output of the encoder's
                frozen lower layers in an earlier pass, given instead of an input. `attention_mask` is then
                `(batch, frames)`.
            lower_pooled_states (`torch.Tensor` of shape `(batch, lower layers + 1, hidden)`, *optional*): with
                `lower_states`, the pooled states of these layers, for a model with `layer_weights`.
            task (`str`, *optional*): the task of this batch. With labels and without a task, the batch serves every
                task that it has labels of.
            labels (`dict` of `torch.Tensor`, *optional*): labels by task: intensities `(batch, outputs)`, a scalar
                `(batch,)` in its unit (NaN where unknown), or class indices `(batch,)` (-100 where unknown).
            gather (`Callable`, *optional*): joins a tensor of this process with those of all others, with its gradient.
                With labels, loss and output are then those of the global batch.

        Raises:
            ConfigError: if the input that the encoder takes is missing, or the labels of the task are.
        """
        if pooled_states is None:
            pooled_states = self.pool(
                input_values=input_values,
                input_features=input_features,
                attention_mask=attention_mask,
                lower_states=lower_states,
                lower_pooled_states=lower_pooled_states,
            )
        if labels is not None and gather is not None:
            pooled_states, labels = gather(pooled_states), {name: gather(values) for name, values in labels.items()}
        representations = self.represent(pooled_states)
        logits = {name: self.heads[name](joint) for name, joint in representations["joint"].items()}
        predictions = {name: self._predict(task, logits[name]) for name, task in self.tasks.items()}
        output = Burst2VecOutput(
            predictions=predictions,
            calibrated=calibrate(self.tasks, self.config.calibration, logits, predictions),
            unusual=self.unusual(pooled_states[:, -1]),
            logits=logits,
            representations=representations,
            pooled_states=pooled_states,
        )
        if labels is not None:
            self._add_loss(output, task, labels)
        return output

    def represent(self, pooled_states: torch.Tensor) -> dict[str, Any]:
        """The representations of a batch.

        Args:
            pooled_states (`torch.Tensor` of shape `(batch, layers, hidden)`): from `pool`.

        Returns:
            `dict`: `projected` `(batch, projection size)`, `shared` `(batch, feature size)`, and `specific` and
            `joint`, each a `dict` of `(batch, feature size)` by task.
        """
        pooled = pooled_states[:, -1] if self.layer_weights is None else self.layer_weights(pooled_states)
        # Pooling gives float32, which the layers of a model in half precision do not take.
        projected = self.projection(pooled.to(self.projection[0].weight.dtype))
        shared = self.shared_extractor(projected)
        specific = {name: extractor(projected) for name, extractor in self.specific_extractors.items()}
        joint = {
            name: self.joint_projections[name](torch.cat([shared, features], dim=-1))
            for name, features in specific.items()
        }
        return {"projected": projected, "shared": shared, "specific": specific, "joint": joint}

    def _predict(self, task: Task, logits: torch.Tensor) -> torch.Tensor:
        logits = at_least_float32(logits)
        if task.kind == "classes":
            return torch.softmax(logits, dim=-1)
        if task.kind == "intensities":
            return logits.clamp(0, 1)
        low, high = task.range
        return low + (high - low) * logits.squeeze(-1).clamp(0, 1)

    def _add_loss(self, output: Burst2VecOutput, task: str | None, labels: dict[str, torch.Tensor]) -> None:
        """Adds the loss and its terms to the output of a batch of one task, or of all tasks that it has labels of."""
        output.loss_terms = {}
        if self.config.adversarial:
            output.discriminator_accuracy = {}
        if task is not None:
            self.check_labels(task, labels)
            output.loss = self._task_loss(output, task, labels[task])
            return
        # The mean over the labelled tasks, which is the expectation of one-task batches if the task is drawn uniformly.
        losses, labelled = [], []
        for name, task_labels in labels.items():
            self.check_labels(name, labels)
            losses.append(self._task_loss(output, name, task_labels, prefix=f"{name}/"))
            labelled.append(partly_known(task_labels).any())
        is_labelled = torch.stack(labelled)
        output.loss = torch.where(is_labelled, torch.stack(losses), 0.0).sum() / is_labelled.sum().clamp(min=1)

    def _task_loss(self, output: Burst2VecOutput, name: str, labels: torch.Tensor, prefix: str = "") -> torch.Tensor:
        """The loss of one task (equations 5 to 8).

        Equation 8 subtracts the adversarial terms. Here they are added after gradient reversal: the discriminator and
        the heads descend on them while the extractors ascend. Subtracting them as well would cancel the reversal. With
        `gradient_reversal: false`, the extractors descend on them, too.
        """
        task, head = self.tasks[name], self.heads[name]
        representations = output.representations
        terms = {
            "shared": task_loss(task, head(representations["shared"]), labels),
            "specific": task_loss(task, head(representations["specific"][name]), labels),
            "joint": task_loss(task, output.logits[name], labels),
        }
        loss = terms["shared"] + terms["specific"] + terms["joint"]
        if self.task_weights is not None:
            loss = self.task_weights(list(self.tasks).index(name), loss)
        if self.config.adversarial:
            shared, specific = self._adversarial_representations(representations)
            terms["discriminator"], accuracy = self._discriminator_term(task, shared, labels)
            terms["adversarial"] = self._adversarial_term(task, specific, labels)
            output.discriminator_accuracy[name] = accuracy
            loss = loss + self.config.discriminator_weight * terms["discriminator"]
            loss = loss + self.config.adversarial_weight * terms["adversarial"]
        output.loss_terms |= {f"{prefix}{term}": value for term, value in terms.items()}
        return loss

    def _adversarial_representations(
        self, representations: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """`shared` and `specific` for the adversarial terms; `adversarial_scope` says how far their gradient flows."""
        if self.config.adversarial_scope == "encoder":
            return representations["shared"], representations["specific"]
        # A second pass through the extractors, so that the reversed gradient stops at their input.
        projected = representations["projected"].detach()
        specific = {name: extractor(projected) for name, extractor in self.specific_extractors.items()}
        return self.shared_extractor(projected), specific

    def _reversed(self, representation: torch.Tensor) -> torch.Tensor:
        return reverse_gradient(representation) if self.config.gradient_reversal else representation

    def _discriminator_term(
        self, task: Task, shared: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """How well the task can be recognised from `shared` (equation 6): the loss, and the share of clips, 0..1."""
        position = list(self.tasks).index(task.name)
        known = partly_known(labels)
        logits = self.discriminator(self._reversed(shared))
        loss = cross_entropy_loss(logits, torch.where(known, position, UNKNOWN_CLASS))
        recognised = (logits.detach().argmax(dim=-1) == position) & known
        return loss, recognised.sum() / known.sum().clamp(min=1)

    def _adversarial_term(self, task: Task, specific: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """How well the task can be predicted from the other tasks' specific representations (equation 7)."""
        losses = [
            task_loss(task, self.heads[task.name](self._reversed(features)), labels)
            for name, features in specific.items()
            if name != task.name
        ]
        return torch.stack(losses).sum() if losses else labels.new_zeros((), dtype=torch.float32)


Burst2VecConfig.register_for_auto_class()
Burst2VecForMultiTask.register_for_auto_class("AutoModel")
