"""Emotion, age and origin from vocal bursts and speech, on Hugging Face Transformers."""

from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

# In a checkout the sub-packages lie beside this folder, not inside it. Without this, standing in the root of a
# checkout while a wheel is installed would find this file and none of them.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "modeling" / "__init__.py").is_file():
    __path__.append(str(_checkout))

_public_names = {
    "Burst2VecConfig": "modeling.configuration_burst2vec",
    "Burst2VecEnsemble": "modeling.modeling_ensemble",
    "Burst2VecEnsembleConfig": "modeling.configuration_ensemble",
    "Burst2VecEnsembleFeatureExtractor": "modeling.feature_extraction_ensemble",
    "Burst2VecFeatureExtractor": "modeling.feature_extraction_burst2vec",
    "Burst2VecForMultiTask": "modeling.modeling_burst2vec",
    "Burst2VecTrainer": "trainers.burst2vec_trainer",
    "EncoderForPreFinetuning": "modeling.modeling_prefinetuning",
    "EncoderPreFinetuningConfig": "modeling.configuration_prefinetuning",
    "MultiTaskTrainer": "trainers.multi_task_trainer",
    "MultiTaskTrainingArguments": "trainers.multi_task_arguments",
    "VocalBurstAnalysisPipeline": "modeling.pipeline_vocal_burst",
    "PreFinetuningTrainer": "trainers.prefinetuning_trainer",
    "PreFinetuningTrainingArguments": "trainers.prefinetuning_trainer",
    "Wav2Vec2ForPreFinetuning": "modeling.modeling_prefinetuning",
    "Wav2Vec2PreFinetuningConfig": "modeling.configuration_prefinetuning",
}

__all__ = ["__version__", *_public_names]


def _register() -> None:
    """Lets the Auto classes open saved models with this package's code, without trust_remote_code."""
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
    from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
    from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
    from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
    from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
    from paravox.modeling.pipeline_vocal_burst import VocalBurstAnalysisPipeline

    feature_extractors = {
        Burst2VecForMultiTask: Burst2VecFeatureExtractor,
        Burst2VecEnsemble: Burst2VecEnsembleFeatureExtractor,
        EncoderForPreFinetuning: Burst2VecFeatureExtractor,
        Wav2Vec2ForPreFinetuning: Burst2VecFeatureExtractor,
    }
    for model_class, extractor_class in feature_extractors.items():
        config_class = model_class.config_class
        AutoConfig.register(config_class.model_type, config_class)
        AutoModel.register(config_class, model_class)
        AutoFeatureExtractor.register(config_class, extractor_class)
    PIPELINE_REGISTRY.register_pipeline("vocal-burst-analysis", VocalBurstAnalysisPipeline, pt_model=AutoModel)


def __getattr__(name: str):
    if name not in _public_names:
        raise AttributeError(f"module 'paravox' has no attribute {name!r}")
    return getattr(import_module(f"paravox.{_public_names[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


_register()
