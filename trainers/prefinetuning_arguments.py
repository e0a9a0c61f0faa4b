"""The arguments of the trainer of pre-finetuning."""

from dataclasses import dataclass, field

from .multi_task_arguments import MultiTaskTrainingArguments
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
