"""The trainer of pre-finetuning."""

from .multi_task_trainer import MultiTaskTrainer


class PreFinetuningTrainer(MultiTaskTrainer):
    """Trains a [`Wav2Vec2ForPreFinetuning`] or [`EncoderForPreFinetuning`] on batches of one corpus each.

    The model scales the losses; the trainer does not know how. `eval_loss` is the mean of the corpora's scaled losses
    over the whole split, which the paper's early stopping watches. `eval_<corpus>_loss` and `eval_<corpus>_uar` are
    reported beside it. The arguments are as in [`MultiTaskTrainer`].
    """
