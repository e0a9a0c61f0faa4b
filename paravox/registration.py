"""Makes the Auto classes of Transformers open saved models with the code of this package.

Importing paravox must not import Transformers, which takes seconds. So the classes are registered when Transformers is
imported, whichever of the two comes first.
"""

import importlib.util
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


def register_when_imported() -> None:
    """Registers the classes now if Transformers is imported already, otherwise as soon as it is."""
    if "transformers" in sys.modules:
        register()
    else:
        sys.meta_path.insert(0, _TransformersFinder())


def register() -> None:
    """Registers configs, models, feature extractors and the pipeline, so that no remote code is needed for them."""
    from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
    from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
    from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
    from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
    from paravox.modeling.modeling_compare import ComParEForMultiTask
    from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
    from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
    from paravox.modeling.pipeline_vocal_burst import VocalBurstAnalysisPipeline

    feature_extractors: dict[Any, Any] = {
        Burst2VecForMultiTask: Burst2VecFeatureExtractor,
        Burst2VecEnsemble: Burst2VecEnsembleFeatureExtractor,
        ComParEForMultiTask: ComParEFeatureExtractor,
        EncoderForPreFinetuning: Burst2VecFeatureExtractor,
        Wav2Vec2ForPreFinetuning: Burst2VecFeatureExtractor,
    }
    for model_class, extractor_class in feature_extractors.items():
        config_class = model_class.config_class
        AutoConfig.register(config_class.model_type, config_class)
        AutoModel.register(config_class, model_class)
        AutoFeatureExtractor.register(config_class, extractor_class)
    PIPELINE_REGISTRY.register_pipeline("vocal-burst-analysis", VocalBurstAnalysisPipeline, pt_model=AutoModel)


class _TransformersFinder(MetaPathFinder):
    """Lets Transformers be found as always, and registers the classes once it has been loaded."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != "transformers":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec("transformers")
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_register(module: Any) -> None:
            # Loaders may be shared: only this one call is changed.
            del loader.exec_module
            load(module)
            register()

        loader.exec_module = load_and_register
        return spec
