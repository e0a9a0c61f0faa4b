"""Emotion, age and origin from vocal bursts and speech, on Hugging Face Transformers."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paravox.registration import register_when_imported

if TYPE_CHECKING:
    from paravox.inference.adaptation import adapt
    from paravox.inference.timeline import timeline
    from paravox.modeling.configuration_burst2vec import Burst2VecConfig
    from paravox.modeling.configuration_compare import ComParEConfig
    from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig
    from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig, Wav2Vec2PreFinetuningConfig
    from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
    from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
    from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
    from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
    from paravox.modeling.modeling_compare import ComParEForMultiTask
    from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
    from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
    from paravox.modeling.pipeline_vocal_burst import VocalBurstAnalysisPipeline
    from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
    from paravox.trainers.compare_trainer import ComParETrainer
    from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
    from paravox.trainers.multi_task_trainer import MultiTaskTrainer
    from paravox.trainers.prefinetuning_arguments import PreFinetuningTrainingArguments
    from paravox.trainers.prefinetuning_trainer import PreFinetuningTrainer

__version__ = "0.1.0"

# In a checkout the four folders of the top level lie beside this folder, not inside it. Without this, a Python that is
# started in the root of a checkout while a wheel is installed would find this file and none of them.
_checkout = Path(__file__).resolve().parent.parent
if (_checkout / "modeling" / "__init__.py").is_file():
    __path__.append(str(_checkout))

# Each is imported when it is first asked for, because Transformers and the code of the models take seconds to import.
_public_names = {
    "Burst2VecConfig": "modeling.configuration_burst2vec",
    "Burst2VecEnsemble": "modeling.modeling_ensemble",
    "Burst2VecEnsembleConfig": "modeling.configuration_ensemble",
    "Burst2VecEnsembleFeatureExtractor": "modeling.feature_extraction_ensemble",
    "Burst2VecFeatureExtractor": "modeling.feature_extraction_burst2vec",
    "Burst2VecForMultiTask": "modeling.modeling_burst2vec",
    "Burst2VecTrainer": "trainers.burst2vec_trainer",
    "ComParEConfig": "modeling.configuration_compare",
    "ComParEFeatureExtractor": "modeling.feature_extraction_compare",
    "ComParEForMultiTask": "modeling.modeling_compare",
    "ComParETrainer": "trainers.compare_trainer",
    "EncoderForPreFinetuning": "modeling.modeling_prefinetuning",
    "EncoderPreFinetuningConfig": "modeling.configuration_prefinetuning",
    "MultiTaskTrainer": "trainers.multi_task_trainer",
    "MultiTaskTrainingArguments": "trainers.multi_task_arguments",
    "VocalBurstAnalysisPipeline": "modeling.pipeline_vocal_burst",
    "PreFinetuningTrainer": "trainers.prefinetuning_trainer",
    "PreFinetuningTrainingArguments": "trainers.prefinetuning_arguments",
    "Wav2Vec2ForPreFinetuning": "modeling.modeling_prefinetuning",
    "Wav2Vec2PreFinetuningConfig": "modeling.configuration_prefinetuning",
    "adapt": "inference.adaptation",
    "timeline": "inference.timeline",
}

__all__ = ["__version__", *_public_names]


def __getattr__(name: str) -> Any:
    if name not in _public_names:
        raise AttributeError(f"module 'paravox' has no attribute {name!r}")
    return getattr(import_module(f"paravox.{_public_names[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)


# Behind what the other modules of the package need to be imported.
register_when_imported()
