"""Models for pre-finetuning (Chen and Yu, section 3.2).

They consist of an encoder, a projector that all corpora share, and one linear head per corpus.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import Wav2Vec2ForSequenceClassification, Wav2Vec2Model
from transformers.utils import ModelOutput

from .calibration import calibrate
from .configuration_prefinetuning import EncoderPreFinetuningConfig, Wav2Vec2PreFinetuningConfig
from .encoders import SpeechEncoder, WaveformEncoder, build_encoder
from .errors import ConfigError
from .losses import at_least_float32, task_loss
from .model_with_encoder import ModelWithEncoder
from .task_modules import TaskModules
from .tasks import parse_tasks

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
    from .familiarity import Familiarity  # noqa: F401
    from .opening import open_checkpoint  # noqa: F401
    from .pipeline_vocal_burst import VocalBurstAnalysisPipeline  # noqa: F401
    from .pooling import masked_mean  # noqa: F401
    from .records import Windows  # noqa: F401
    from .strict_loading import StrictlyLoadedModel  # noqa: F401
    from .transformers_versions import run_layer  # noqa: F401


@dataclass
class PreFinetuningOutput(ModelOutput):
    """What a model for pre-finetuning returns for a batch.

    Args:
        loss (`torch.Tensor`, *optional*): the scaled loss of the batch's corpus, a scalar. It is there if labels were
            given.
        loss_terms (`dict`, *optional*): `cross_entropy`, the loss before it is scaled.
        predictions (`dict`): per corpus, class probabilities `(batch, classes)`.
        calibrated (`dict`): per task, what `predictions` has, calibrated where the config says how.
        unusual (`torch.Tensor` of shape `(batch,)`, *optional*): how unlike the training recordings each clip is, where
            1 is the threshold. It is there if the model knows them.
        logits (`dict`): per corpus, `(batch, classes)`.
        pooled_states (`torch.Tensor` of shape `(batch, hidden)`): the encoder's last layer averaged over time, or the
            layer that the config names.
    """

    loss: torch.Tensor | None = None
    loss_terms: dict[str, torch.Tensor] | None = None
    predictions: dict[str, torch.Tensor] | None = None
    calibrated: dict[str, torch.Tensor] | None = None
    unusual: torch.Tensor | None = None
    logits: dict[str, torch.Tensor] | None = None
    pooled_states: torch.Tensor | None = None


class PreFinetuningModel(ModelWithEncoder):
    """The base class of [`Wav2Vec2ForPreFinetuning`] and [`EncoderForPreFinetuning`]: everything but the encoder."""

    @property
    def pooled_layer(self) -> int | None:
        return self.config.layer

    def _add_heads(self) -> None:
        config = self.config
        self.tasks = {task.name: task for task in parse_tasks(config.tasks)}
        self.main_input_name = self.encoder.input_name
        self.projector = nn.Linear(self.encoder.hidden_size, config.projection_size)
        # All heads are modules of the model from the start, so that they are trained and saved.
        self.heads = TaskModules(
            {name: nn.Linear(config.projection_size, task.outputs) for name, task in self.tasks.items()}
        )
        self.familiarity = self.new_familiarity()
        self.post_init()

    def forward(
        self,
        input_values: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        lower_states: torch.Tensor | None = None,
        task: str | None = None,
        labels: dict[str, torch.Tensor] | None = None,
        gather: Callable[[torch.Tensor], torch.Tensor] | None = None,
    ) -> PreFinetuningOutput:
        """Classifies clips by the label set of every corpus. With labels, it also computes the scaled loss of one
        corpus.

        Args:
            input_values (`torch.Tensor` of shape `(batch, samples)`): for an encoder of waveforms.
            input_features (`torch.Tensor` of shape `(batch, mel bins, mel frames)`): for an encoder of log-mel frames.
            attention_mask (`torch.Tensor` of shape `(batch, samples or mel frames)`, *optional*): 1 where the input is
                real. By default all of it is.
            lower_states (`torch.Tensor` of shape `(batch, frames, hidden)`, *optional*): the output of the encoder's
                frozen lower layers in an earlier pass, given instead of an input. `attention_mask` is then
                `(batch, frames)`.
            task (`str`, *optional*): the corpus of this batch.
            labels (`dict` of `torch.Tensor`, *optional*): class indices `(batch,)` by corpus, -100 where unknown.
            gather (`Callable`, *optional*): joins a tensor of this process with those of all others, with its gradient.
                With labels, the output is then that of the global batch.

        Raises:
            ConfigError: if the input that the encoder takes is missing, or labels are given without their task.
        """
        pooled = self.pool(
            input_values=input_values,
            input_features=input_features,
            attention_mask=attention_mask,
            lower_states=lower_states,
        )[:, -1]
        if labels is not None and gather is not None:
            pooled, labels = gather(pooled), {name: gather(values) for name, values in labels.items()}
        # Pooling gives float32, which the layers of a model in half precision do not take.
        projected = self.projector(pooled.to(self.projector.weight.dtype))
        logits = {name: head(projected) for name, head in self.heads.items()}
        predictions = {name: torch.softmax(at_least_float32(values), dim=-1) for name, values in logits.items()}
        output = PreFinetuningOutput(
            predictions=predictions,
            calibrated=calibrate(self.tasks, self.config.calibration, logits, predictions),
            unusual=self.unusual(pooled),
            logits=logits,
            pooled_states=pooled,
        )
        if labels is not None:
            self.check_labels(task, labels)
            output.loss_terms = {"cross_entropy": task_loss(self.tasks[task], logits[task], labels[task])}
            output.loss = self.task_loss(task, logits[task], labels[task])
        return output

    def task_loss(self, task: str, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The cross-entropy of one corpus divided by log(n), n the size of its label set (section 3.2, after Muppet).

        The scaling gives corpora with many and with few labels the same weight: an even guess costs 1 in each.

        Args:
            task (`str`): the corpus.
            logits (`torch.Tensor` of shape `(batch, classes)`).
            labels (`torch.LongTensor` of shape `(batch,)`): -100 where unknown.

        Returns:
            `torch.Tensor`: a scalar.
        """
        return task_loss(self.tasks[task], logits, labels) / math.log(self.tasks[task].outputs)


class EncoderForPreFinetuning(PreFinetuningModel):
    """Pre-finetunes any supported encoder.

    Args:
        config ([`EncoderPreFinetuningConfig`]): weights are random; use `from_encoder` to start from a pre-trained
            encoder.
    """

    config_class = EncoderPreFinetuningConfig
    base_model_prefix = "encoder"

    def __init__(self, config: EncoderPreFinetuningConfig) -> None:
        super().__init__(config)
        self.encoder = build_encoder(config.encoder)
        self._add_heads()


class Wav2Vec2ForPreFinetuning(PreFinetuningModel):
    """Pre-finetunes wav2vec 2.0, as the paper does. The weights of encoder and projector have the names of the stock
    class, [`Wav2Vec2ForSequenceClassification`].

    Args:
        config ([`Wav2Vec2PreFinetuningConfig`]): weights are random; use `from_encoder` to start from a pre-trained
            encoder.
    """

    config_class = Wav2Vec2PreFinetuningConfig
    base_model_prefix = "wav2vec2"

    def __init__(self, config: Wav2Vec2PreFinetuningConfig) -> None:
        super().__init__(config)
        if config.encoder.add_adapter:
            raise ConfigError("the encoder has an adapter (add_adapter), which is not supported here: turn it off")
        encoder_config: Any = copy.deepcopy(config.encoder)
        self.wav2vec2 = Wav2Vec2Model(encoder_config)
        self._add_heads()

    @property
    def encoder(self) -> SpeechEncoder:
        """The seam around `wav2vec2`: a view of it, which adds no name to its weights."""
        return WaveformEncoder.around(self.wav2vec2)

    def save_for_sequence_classification(self, corpus: str, folder: str | Path) -> None:
        """Writes the encoder, the projector and one corpus's head so that `Wav2Vec2ForSequenceClassification` opens
        them.

        Args:
            corpus (`str`): the corpus whose head and labels to keep.
            folder (`str` or `Path`): made if it does not exist.

        Raises:
            ConfigError: if the model has no head for that corpus, or does not use the encoder's output.
        """
        if self.config.layer is not None:
            raise ConfigError(
                f"this model uses hidden state {self.config.layer} of its encoder, but "
                "Wav2Vec2ForSequenceClassification uses the output: save it with save_pretrained"
            )
        if corpus not in self.tasks:
            raise ConfigError(f"this model has no head for {corpus!r}: choose one of {', '.join(self.tasks)}")
        labels = self.tasks[corpus].labels
        config = copy.deepcopy(self.config.encoder)
        config.classifier_proj_size = self.config.projection_size
        config.use_weighted_layer_sum = False
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
        stock = Wav2Vec2ForSequenceClassification(config)
        stock.wav2vec2.load_state_dict(self.wav2vec2.state_dict())
        stock.projector.load_state_dict(self.projector.state_dict())
        stock.classifier.load_state_dict(self.heads[corpus].state_dict())
        stock.save_pretrained(folder)


EncoderForPreFinetuning.register_for_auto_class("AutoModel")
Wav2Vec2ForPreFinetuning.register_for_auto_class("AutoModel")
