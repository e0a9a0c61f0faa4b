"""The trainer of pre-finetuning."""

from dataclasses import dataclass, field

from .multi_task_arguments import MultiTaskTrainingArguments
from .multi_task_trainer import MultiTaskTrainer
from .sampler import ONE_TASK_BATCHING


@dataclass
class PreFinetuningTrainingArguments(MultiTaskTrainingArguments):
    """[`MultiTaskTrainingArguments`] whose batches come from a corpus drawn at random (Chen and Yu, section 3.2)."""

    task_batching: str = field(
        default="uniform",
        metadata={
            "help": "How the corpus of a batch is chosen: uniform (drawn at random, all corpora equally likely), "
            "proportional (every clip once per epoch), or round_robin (the corpora take turns).",
            "choices": list(ONE_TASK_BATCHING),
        },
    )


class PreFinetuningTrainer(MultiTaskTrainer):
    """Trains a [`Wav2Vec2ForPreFinetuning`] or [`EncoderForPreFinetuning`] on batches of one corpus each.

    The model scales the losses; the trainer does not know how. `eval_loss` is the mean of the corpora's scaled losses
    over the whole split, which the paper's early stopping watches. `eval_<corpus>_loss` and `eval_<corpus>_uar` are
    reported beside it. The arguments are as in [`MultiTaskTrainer`].
    """
