"""Opens saved models, and checks that several of them can be averaged."""

from typing import Any

import torch

from paravox.modeling.encoder_loading import load_encoder_config, load_encoder_weights
from paravox.modeling.encoders import ENCODER_CLASSES, SpeechEncoder, build_encoder
from paravox.modeling.errors import CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
from paravox.modeling.opening import model_type_of, open_checkpoint
from paravox.modeling.tasks import Task, parse_tasks, predict_the_same

PreFinetuned = EncoderForPreFinetuning | Wav2Vec2ForPreFinetuning
Model = Burst2VecForMultiTask | ComParEForMultiTask | Burst2VecEnsemble | PreFinetuned
FeatureExtractor = Burst2VecFeatureExtractor | ComParEFeatureExtractor | Burst2VecEnsembleFeatureExtractor

# By model_type. A model of another class is refused where it is opened.
_CLASSES: dict[str, tuple[Any, Any]] = {
    model_class.config_class.model_type: (model_class, extractor_class)
    for model_class, extractor_class in (
        (Burst2VecForMultiTask, Burst2VecFeatureExtractor),
        (ComParEForMultiTask, ComParEFeatureExtractor),
        (Burst2VecEnsemble, Burst2VecEnsembleFeatureExtractor),
        (EncoderForPreFinetuning, Burst2VecFeatureExtractor),
        (Wav2Vec2ForPreFinetuning, Burst2VecFeatureExtractor),
    )
}


def open_model(
    name_or_path: str,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> tuple[Model, FeatureExtractor]:
    """Opens a saved model or ensemble, in evaluation mode, and its feature extractor.

    An adapted model and a pre-finetuned one are opened as well; the latter predicts the emotions of each corpus.

    Args:
        name_or_path (`str`): a folder, or a name on the Hub.
        revision (`str`, *optional*): a branch, tag or commit on the Hub; `main` by default.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the model runs.
        dtype (`torch.dtype`, *optional*, defaults to `torch.float32`): of the weights and the computation, whatever
            type the file has.

    Raises:
        CheckpointError: if that folder or name has no model, or one of another class.
    """
    options = {} if revision is None else {"revision": revision}
    found: Any = model_type_of(name_or_path, **options)
    burst2vec = Burst2VecForMultiTask.config_class.model_type
    model_class, extractor_class = _CLASSES.get(found, _CLASSES[burst2vec])
    model = model_class.from_pretrained(name_or_path, dtype=dtype, **options)
    return model.to(device), open_checkpoint(extractor_class.from_pretrained, name_or_path, **options)


def open_encoder(
    name_or_path: str, revision: str | None = None, device: str | torch.device = "cpu"
) -> tuple[SpeechEncoder, Burst2VecFeatureExtractor]:
    """Opens the encoder of a saved model, or a published encoder, in float32, and its feature extractor.

    Args:
        name_or_path (`str`): a folder, or a name on the Hub, of a model with one encoder or of an encoder alone.
        revision (`str`, *optional*): a branch, tag or commit on the Hub; `main` by default.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the encoder runs.

    Raises:
        CheckpointError: if there is no such model, or it has no encoder of its own.
    """
    options = {} if revision is None else {"revision": revision}
    model_type: Any = model_type_of(name_or_path, **options)
    if model_type in ENCODER_CLASSES:
        encoder = build_encoder(load_encoder_config(name_or_path, **options))
        load_encoder_weights(encoder, name_or_path, **options)
        return encoder.to(device).eval(), Burst2VecFeatureExtractor.from_encoder(name_or_path, hub_options=options)
    model, extractor = open_model(name_or_path, revision, device)
    encoder = encoder_of(model)
    assert isinstance(extractor, Burst2VecFeatureExtractor)  # as of every model with an encoder
    return encoder, extractor


def encoder_of(model: Any) -> SpeechEncoder:
    """The encoder of a model.

    Raises:
        CheckpointError: if it has none, or several.
    """
    encoder = getattr(model, "encoder", None)
    if not isinstance(encoder, SpeechEncoder):
        raise CheckpointError(
            f"a model of model_type {model.config.model_type!r} has no encoder of its own: give a Burst2Vec or "
            "pre-finetuned model, such as a member of an ensemble, or an encoder"
        )
    return encoder


def same_tasks(models: list[Model], names: list[str]) -> list[Task]:
    """The tasks that several models share.

    Args:
        models (list of [`Model`]).
        names (list of `str`): their folders or names, for the message.

    Raises:
        CheckpointError: if they have different tasks and therefore cannot be averaged.
    """
    tasks = parse_tasks(models[0].config.tasks)
    for model, name in zip(models, names, strict=True):
        if not predict_the_same(parse_tasks(model.config.tasks), tasks):
            raise CheckpointError(
                f"checkpoint {name!r} has other tasks than {names[0]!r}: average models of the same tasks"
            )
    return tasks
