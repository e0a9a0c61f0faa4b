"""Opens saved models, and checks that several of them can be averaged."""

from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
from paravox.modeling.encoders import open_checkpoint
from paravox.modeling.errors import CheckpointError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.tasks import Task, parse_tasks

Model = Burst2VecForMultiTask | Burst2VecEnsemble
FeatureExtractor = Burst2VecFeatureExtractor | Burst2VecEnsembleFeatureExtractor


def open_model(name_or_path: str, revision: str | None = None) -> tuple[Model, FeatureExtractor]:
    """Opens a saved model or ensemble, in evaluation mode, and its feature extractor.

    Args:
        name_or_path (`str`): a folder, or a name on the Hub.
        revision (`str`, *optional*): a branch, tag or commit on the Hub; `main` by default.

    Raises:
        CheckpointError: if that folder or name has no model, or one of another class.
    """
    options = {} if revision is None else {"revision": revision}
    config = open_checkpoint(Burst2VecEnsembleConfig.get_config_dict, name_or_path, **options)[0]
    model_class: type[Model] = Burst2VecForMultiTask
    extractor_class: type[FeatureExtractor] = Burst2VecFeatureExtractor
    if config.get("model_type") == Burst2VecEnsembleConfig.model_type:
        model_class, extractor_class = Burst2VecEnsemble, Burst2VecEnsembleFeatureExtractor
    model = model_class.from_pretrained(name_or_path, **options)
    return model, open_checkpoint(extractor_class.from_pretrained, name_or_path, **options)


def same_tasks(models: list[Model], names: list[str]) -> list[Task]:
    """The tasks that several models share.

    Args:
        models (list of [`Burst2VecForMultiTask`] or [`Burst2VecEnsemble`]).
        names (list of `str`): their folders or names, for the message.

    Raises:
        CheckpointError: if they have different tasks and therefore cannot be averaged.
    """
    tasks = parse_tasks(models[0].config.tasks)
    for model, name in zip(models, names, strict=True):
        if parse_tasks(model.config.tasks) != tasks:
            raise CheckpointError(
                f"checkpoint {name!r} has other tasks than {names[0]!r}: average models of the same tasks"
            )
    return tasks
