"""The checkpoints of the study: models that prefinetune.py has saved, and the encoder as it was downloaded."""

from pathlib import Path

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.encoder_loading import load_encoder_config
from paravox.modeling.errors import CheckpointError
from paravox.modeling.modeling_prefinetuning import (
    EncoderForPreFinetuning,
    PreFinetuningModel,
    Wav2Vec2ForPreFinetuning,
)
from paravox.modeling.opening import model_type_of
from paravox.modeling.tasks import Task

TRIAL_TASK = Task("emotion", kind="classes", labels=("other", "target"))
_MODEL_CLASSES = {cls.config_class.model_type: cls for cls in (EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning)}


def model_around(encoder: str, tasks: list[Task], projection_size: int = 256) -> PreFinetuningModel:
    """Builds a model for pre-finetuning around a published encoder, of the paper's class for wav2vec 2.0.

    Args:
        encoder (`str`): folder or Hub name.
        tasks (list of [`Task`]): one per corpus.
        projection_size (`int`, *optional*, defaults to 256): width of the projector that the tasks share.
    """
    is_wav2vec2 = load_encoder_config(encoder).model_type == "wav2vec2"
    model_class = Wav2Vec2ForPreFinetuning if is_wav2vec2 else EncoderForPreFinetuning
    return model_class.from_encoder(encoder, tasks=tasks, projection_size=projection_size)


def open_checkpoint_model(name: str, checkpoints_dir: str | None, encoder: str) -> PreFinetuningModel:
    """Opens a checkpoint of the grid in evaluation mode; for `none`, a model around the encoder as it was downloaded.

    Raises:
        CheckpointError: if the checkpoint does not exist, is of another class, or lacks a weight.
    """
    if name == NO_CORPUS:
        return model_around(encoder, [TRIAL_TASK]).eval()
    folder = Path(checkpoints_dir or "") / name / "model"
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"checkpoint {name!r}: no model in {folder}: run prefinetune.py for it first, or correct checkpoints_dir"
        )
    model_type = model_type_of(folder)
    if model_type not in _MODEL_CLASSES:
        raise CheckpointError(
            f"checkpoint {name!r}: {folder} holds a model of type {model_type!r}, expected one of "
            f"{', '.join(_MODEL_CLASSES)}: run prefinetune.py for it, or correct checkpoints_dir"
        )
    return _MODEL_CLASSES[model_type].from_pretrained(folder).eval()


def checkpoint_exists(name: str, checkpoints_dir: str | None) -> bool:
    """Whether a checkpoint of the grid can be opened now."""
    return name == NO_CORPUS or (Path(checkpoints_dir or "") / name / "results.json").is_file()
