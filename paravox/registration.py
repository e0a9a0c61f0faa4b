"""Makes the Auto classes of Transformers open saved models with the code of this package.

Transformers takes seconds to import, and so does the code of the models. So importing paravox imports neither. Once a
module of Transformers that has an Auto class is imported, whether before or after paravox, the names of paravox's
classes are put into it, and each class is imported when it is first asked for.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator, MutableMapping
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any, NamedTuple

_CODE = "paravox.modeling"
_PIPELINE = f"{_CODE}.pipeline_vocal_burst"


class _Names(NamedTuple):
    """The names of the classes that belong together."""

    config: str
    model: str
    feature_extractor: str


_CLASSES = {
    "burst2vec": _Names(
        f"{_CODE}.configuration_burst2vec.Burst2VecConfig",
        f"{_CODE}.modeling_burst2vec.Burst2VecForMultiTask",
        f"{_CODE}.feature_extraction_burst2vec.Burst2VecFeatureExtractor",
    ),
    "burst2vec_ensemble": _Names(
        f"{_CODE}.configuration_ensemble.Burst2VecEnsembleConfig",
        f"{_CODE}.modeling_ensemble.Burst2VecEnsemble",
        f"{_CODE}.feature_extraction_ensemble.Burst2VecEnsembleFeatureExtractor",
    ),
    "compare_baseline": _Names(
        f"{_CODE}.configuration_compare.ComParEConfig",
        f"{_CODE}.modeling_compare.ComParEForMultiTask",
        f"{_CODE}.feature_extraction_compare.ComParEFeatureExtractor",
    ),
    "encoder_prefinetuning": _Names(
        f"{_CODE}.configuration_prefinetuning.EncoderPreFinetuningConfig",
        f"{_CODE}.modeling_prefinetuning.EncoderForPreFinetuning",
        f"{_CODE}.feature_extraction_burst2vec.Burst2VecFeatureExtractor",
    ),
    "wav2vec2_prefinetuning": _Names(
        f"{_CODE}.configuration_prefinetuning.Wav2Vec2PreFinetuningConfig",
        f"{_CODE}.modeling_prefinetuning.Wav2Vec2ForPreFinetuning",
        f"{_CODE}.feature_extraction_burst2vec.Burst2VecFeatureExtractor",
    ),
}
"""The classes of saved models by the `model_type` in their configs."""


def register_when_imported() -> None:
    """Registers the classes in what is imported of Transformers already, and in the rest as soon as it is imported."""
    missing = {}
    for name, register in _REGISTER.items():
        if name in sys.modules:
            register(sys.modules[name])
        else:
            missing[name] = register
    if missing:
        sys.meta_path.insert(0, _AfterImport(missing))


def _register_configs(module: Any) -> None:
    _add_lazily(module.CONFIG_MAPPING, {model_type: names.config for model_type, names in _CLASSES.items()})


def _register_models(module: Any) -> None:
    _add_lazily(module.MODEL_MAPPING, {names.config: names.model for names in _CLASSES.values()})


def _register_feature_extractors(module: Any) -> None:
    _add_lazily(
        module.FEATURE_EXTRACTOR_MAPPING, {names.config: names.feature_extractor for names in _CLASSES.values()}
    )


def _import_pipeline(module: Any) -> None:
    # Where this module is half imported, because it has asked for Transformers' pipelines, this does nothing.
    import_module(_PIPELINE)


def _register_pipeline(module: Any) -> None:
    from transformers import AutoModel
    from transformers.pipelines import PIPELINE_REGISTRY

    PIPELINE_REGISTRY.register_pipeline("vocal-burst-analysis", module.VocalBurstAnalysisPipeline, pt_model=AutoModel)


_AUTO = "transformers.models.auto"
_REGISTER: dict[str, Callable[[Any], None]] = {
    f"{_AUTO}.configuration_auto": _register_configs,
    f"{_AUTO}.modeling_auto": _register_models,
    f"{_AUTO}.feature_extraction_auto": _register_feature_extractors,
    "transformers.pipelines": _import_pipeline,
    _PIPELINE: _register_pipeline,
}
"""What is done with a module once it is imported."""


def _add_lazily(mapping: Any, names: dict[str, str]) -> None:
    """Adds names to what a mapping of an Auto class holds besides the classes of Transformers."""
    mapping._extra_content = _ImportedOnUse(mapping._extra_content, names)


class _ImportedOnUse(MutableMapping):
    """A mapping to classes, some of which are names until someone asks for them.

    Args:
        classes (`dict`): what the mapping holds already.
        names (`dict`): the dotted names of further classes. Their keys are words, or dotted names of classes as well.
    """

    def __init__(self, classes: MutableMapping[Any, Any], names: dict[str, str]) -> None:
        self._classes = classes
        self._names = names

    def __getitem__(self, key: Any) -> Any:
        name = self._names.get(_dotted_name(key))
        if name is not None:
            self[key] = _import(name)
        return self._classes[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._names.pop(_dotted_name(key), None)
        self._classes[key] = value

    def __delitem__(self, key: Any) -> None:
        if self._names.pop(_dotted_name(key), None) is None:
            del self._classes[key]

    def __contains__(self, key: Any) -> bool:
        return _dotted_name(key) in self._names or key in self._classes

    def __iter__(self) -> Iterator[Any]:
        for name in list(self._names):
            self[_import(name) if "." in name else name]
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._names) + len(self._classes)


def _dotted_name(key: Any) -> str:
    return f"{key.__module__}.{key.__qualname__}" if isinstance(key, type) else key


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


class _AfterImport(MetaPathFinder):
    """Lets modules be found as always, and does something with each of them once it is loaded.

    Args:
        actions (`dict`): what to do, by the name of the module.
    """

    def __init__(self, actions: dict[str, Callable[[Any], None]]) -> None:
        self._actions = actions

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        # The name is taken out first, because the search below asks this finder again.
        action = self._actions.pop(name, None)
        if action is None:
            return None
        if not self._actions:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        loader: Any = spec.loader
        load = loader.exec_module

        def load_and_act(module: Any) -> None:
            # Loaders may be shared: only this one call is changed.
            del loader.exec_module
            load(module)
            action(module)

        loader.exec_module = load_and_act
        return spec
