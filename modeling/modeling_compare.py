"""The baseline of the ExVo 2022 challenge: a small network on ComParE 2016 functionals.

Sizes, losses and the weights of the tasks are those of the organisers' public program, ExVo-MultiTask.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers.utils import ModelOutput

from .configuration_compare import ComParEConfig
from .errors import ConfigError
from .losses import at_least_float32, cross_entropy_loss, mse_loss, partly_known
from .strict_loading import StrictlyLoadedModel
from .task_modules import TaskModules
from .task_weights import TaskWeights
from .tasks import Task, parse_tasks
from .transformers_versions import KEEPS_BUFFERS_IN_FLOAT32

if TYPE_CHECKING:
    from typing_extensions import Self

    from .audio import load_audio  # noqa: F401
    from .audio_containers import check_length  # noqa: F401
    from .audio_content import open_content  # noqa: F401
    from .audio_decoding import read_parts  # noqa: F401
    from .audio_mpeg import count_frames  # noqa: F401

    # Named because Transformers before 5.6 copies only the files that the one it opens imports itself.
    from .bounds import check_fields  # noqa: F401
    from .configuration_saved_model import SavedModelConfig  # noqa: F401
    from .downloads import downloaded  # noqa: F401
    from .familiarity import Familiarity  # noqa: F401
    from .opening import open_checkpoint  # noqa: F401
    from .pipeline_vocal_burst import VocalBurstAnalysisPipeline  # noqa: F401
    from .records import Windows  # noqa: F401


@dataclass
class ComParEOutput(ModelOutput):
    """What [`ComParEForMultiTask`] returns for a batch.

    Args:
        loss (`torch.Tensor`, *optional*): what is minimised, a scalar. It is there if labels were given.
        loss_terms (`dict`, *optional*): `mse` or `cross_entropy`: the loss of the task before it is weighted, a scalar.
            In a batch of all tasks, the names begin with the task, such as `age/mse`.
        predictions (`dict`): per task, intensities `(batch, outputs)` in 0..1, a scalar `(batch,)` in its unit and
            within its range, or class probabilities `(batch, classes)`.
        logits (`dict`): per task, `(batch, outputs)`: the outputs of its head. Intensities are their sigmoid, a scalar
            is in its unit and not clipped.
        representations (`dict`): `shared` `(batch, size)`.
    """

    loss: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
    predictions: dict[str, torch.Tensor] | None = None
    logits: dict[str, torch.Tensor] | None = None
    representations: dict[str, torch.Tensor] | None = None


class StaysInFloat32(nn.Module):
    """A module that keeps float32 when the model around it is converted to half precision.

    Some functionals, and some distances from their mean, are larger than all numbers of half precision.
    """

    def _apply(self, function: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "Self":
        def unless_to_half(tensor: torch.Tensor) -> torch.Tensor:
            applied = function(tensor)
            if applied.dtype == at_least_float32(applied).dtype or not applied.is_floating_point():
                return applied
            # From the tensor as it was, because the numbers of the other one are rounded or infinite.
            return at_least_float32(tensor).to(applied.device)

        return super()._apply(unless_to_half, recurse)


class SharedLayers(StaysInFloat32, nn.Sequential):
    """The layers that all tasks share, in float32."""


class Standardisation(StaysInFloat32):
    """Subtracts a mean from each functional and divides it by a scale. At first it changes nothing.

    Args:
        size (`int`): the number of functionals.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        # Their type is given, because Transformers makes a model under the type that was asked for.
        self.register_buffer("mean", torch.zeros(size, dtype=torch.float32))
        self.register_buffer("scale", torch.ones(size, dtype=torch.float32))

    def forward(self, functionals: torch.Tensor) -> torch.Tensor:
        """(batch, functionals), in float32 or wider, whatever the type of the input"""
        return (at_least_float32(functionals) - self.mean) / self.scale


class ComParEForMultiTask(StrictlyLoadedModel):
    """Predicts every task of its config from the ComParE 2016 functionals of a recording.

    The functionals are standardised by the mean and the standard deviation of Train, which are part of the model. Then
    come the shared layers, each with layer norm and leaky ReLU, and one head per task, with leaky ReLU between its
    layers.

    Args:
        config ([`ComParEConfig`]): weights are random.
    """

    config_class = ComParEConfig
    base_model_prefix = "compare_baseline"
    main_input_name = "functionals"
    made_from = "train a {} on a corpus"
    # The loss is a mean over the batch: the Trainer divides it by the accumulation steps.
    accepts_loss_kwargs = False
    # What `StaysInFloat32` does, but for `from_pretrained`.
    _keep_in_fp32_modules_strict = [*(["standardisation"] if KEEPS_BUFFERS_IN_FLOAT32 else []), "shared_layers"]

    def __init__(self, config: ComParEConfig) -> None:
        super().__init__(config)
        self.tasks = {task.name: task for task in parse_tasks(config.tasks)}
        self.standardisation = Standardisation(config.functionals)
        layers: list[nn.Module] = []
        width = config.functionals
        for size in config.shared_sizes:
            layers += [nn.Linear(width, size), nn.LayerNorm(size), nn.LeakyReLU()]
            width = size
        self.shared_layers = SharedLayers(*layers)
        self.heads = TaskModules(
            {name: _head([width, *config.head_sizes, task.outputs]) for name, task in self.tasks.items()}
        )
        self.task_weights = TaskWeights(len(self.tasks))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        # The organisers left torch's own initial weights, which are not those of Transformers.
        if isinstance(module, (nn.Linear, nn.LayerNorm)):
            module.reset_parameters()
        elif isinstance(module, TaskWeights):
            nn.init.constant_(module.log_variances, module.INITIAL_LOG_VARIANCE)
        elif isinstance(module, Standardisation):
            nn.init.zeros_(module.mean)
            nn.init.ones_(module.scale)

    def forward(
        self,
        functionals: torch.Tensor | None = None,
        task: str | None = None,
        labels: dict[str, torch.Tensor] | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> ComParEOutput:
        """Predicts all tasks. With labels, it also computes the loss.

        The loss of a batch of all tasks is that of the organisers, `sum over t of (exp(-s_t) L_t + s_t) / 2`, s_t the
        learned log variance of task t: half of what Kendall et al. (2018) write, over the tasks that the batch has
        known labels of. In a batch of one task, it is that task's term.

        Args:
            functionals (`torch.Tensor` of shape `(batch, functionals)`): not standardised.
            task (`str`, *optional*): the task of this batch. With labels and without a task, the batch serves every
                task that it has labels of.
            labels (`dict` of `torch.Tensor`, *optional*): labels by task: intensities `(batch, outputs)`, a scalar
                `(batch,)` in its unit (NaN where unknown), or class indices `(batch,)` (-100 where unknown).
            gather (`Callable`, *optional*): joins a tensor of this process with those of all others, with its gradient.
                With labels, loss and output are then those of the global batch.

        Raises:
            ConfigError: if functionals are missing or too few, or the labels of the task are missing.
        """
        if functionals is None or functionals.shape[-1] != self.config.functionals:
            found = "none" if functionals is None else f"{functionals.shape[-1]} per clip"
            raise ConfigError(
                f"this model takes {self.config.functionals} functionals per clip, found {found}: use the feature "
                "extractor saved beside it"
            )
        with self._without_autocast():
            standardised = self.standardisation(functionals)
            shared = self.shared_layers(standardised.to(self.shared_layers[0].weight.dtype))
            if labels is not None and gather is not None:
                shared, labels = gather(shared), {name: gather(values) for name, values in labels.items()}
            logits = {name: head(shared.to(head[0].weight.dtype)) for name, head in self.heads.items()}
        output = ComParEOutput(
            predictions={name: _predict(task, logits[name]) for name, task in self.tasks.items()},
            logits=logits,
            representations={"shared": shared},
        )
        if labels is not None:
            self._add_loss(output, task, labels)
        return output

    def _without_autocast(self) -> AbstractContextManager:
        # The network is small, and bfloat16 would round its years to quarters.
        device = self.device.type
        return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()

    def task_loss(self, task: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The weighted loss of a task, `(exp(-s) L + s) / 2`, of which the loss of a batch is the sum.

        Args:
            task (`str`): one of the model's tasks.
            logits (`torch.Tensor` of shape `(clips, outputs)`): from the model.
            labels (`torch.Tensor`): as in `forward`.

        Returns:
            `torch.Tensor`: a scalar, zero with a graph where no label is known.
        """
        return self._weighted(task, _loss(self.tasks[task], logits.to(self.device), labels.to(self.device)), labels)

    def _weighted(self, task: str, loss: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        weighted = self.task_weights(list(self.tasks).index(task), loss) / 2
        return torch.where(partly_known(labels).any().to(loss.device), weighted, 0.0)

    def _add_loss(self, output: ComParEOutput, task: str | None, labels: dict[str, torch.Tensor]) -> None:
        """Adds the loss and its terms to the output of a batch of one task, or of all tasks that it has labels of."""
        output.loss_terms, weighted = {}, []
        for name in labels if task is None else [task]:
            self._check_labels(name, labels)
            loss = _loss(self.tasks[name], output.logits[name], labels[name])
            term = self.tasks[name].loss
            output.loss_terms[term if task is not None else f"{name}/{term}"] = loss
            weighted.append(self._weighted(name, loss, labels[name]))
        output.loss = torch.stack(weighted).sum()

    def _check_labels(self, task: str, labels: dict[str, torch.Tensor]) -> None:
        if task not in self.tasks or task not in labels:
            raise ConfigError(
                f"task {task!r} with labels of {sorted(labels)}: give one of {list(self.tasks)} and its labels"
            )


def _head(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU()]
    return nn.Sequential(*layers[:-1])


def _predict(task: Task, logits: torch.Tensor) -> torch.Tensor:
    logits = at_least_float32(logits)
    if task.kind == "classes":
        return torch.softmax(logits, dim=-1)
    if task.kind == "intensities":
        return torch.sigmoid(logits)
    return logits.squeeze(-1).clamp(*task.range)


def _loss(task: Task, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """A task's loss before it is weighted: zero with a graph where no label is known."""
    logits = at_least_float32(logits)
    if task.kind == "classes":
        return cross_entropy_loss(logits, labels, task.class_weights)
    if task.kind == "scalar":
        return mse_loss(logits, labels.unsqueeze(1).to(logits.dtype))
    # The sum over the intensities of the mean over the clips, each over the labels that are known.
    predicted, labels = torch.sigmoid(logits), labels.to(logits.dtype)
    columns = [mse_loss(predicted[:, [column]], labels[:, [column]]) for column in range(task.outputs)]
    return torch.stack(columns).sum()


ComParEConfig.register_for_auto_class()
ComParEForMultiTask.register_for_auto_class("AutoModel")
