"""The Auto classes know paravox's models whichever import comes first, and importing paravox imports no library."""

import subprocess
import sys

import pytest
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING
from transformers.models.auto.modeling_auto import MODEL_MAPPING

import paravox
from paravox.registration import _ImportedOnUse

# By model_type: the classes of the package that are made for each other.
CLASSES = {
    "burst2vec": ("Burst2VecConfig", "Burst2VecForMultiTask", "Burst2VecFeatureExtractor"),
    "burst2vec_ensemble": ("Burst2VecEnsembleConfig", "Burst2VecEnsemble", "Burst2VecEnsembleFeatureExtractor"),
    "compare_baseline": ("ComParEConfig", "ComParEForMultiTask", "ComParEFeatureExtractor"),
    "encoder_prefinetuning": ("EncoderPreFinetuningConfig", "EncoderForPreFinetuning", "Burst2VecFeatureExtractor"),
    "wav2vec2_prefinetuning": ("Wav2Vec2PreFinetuningConfig", "Wav2Vec2ForPreFinetuning", "Burst2VecFeatureExtractor"),
}
KNOWN = """
import sys
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel
tasks = [{"name": "age", "kind": "scalar", "range": [20, 39]}]
config = AutoConfig.for_model("burst2vec", encoder={"model_type": "hubert"}, tasks=tasks)
assert type(config).__module__ == "paravox.modeling.configuration_burst2vec", type(config)
print("known")
"""
# What takes seconds to import and is not needed before a model is opened.
IMPORTED = """
heavy = {"datasets", "pandas", "sklearn"}
heavy |= {f"transformers.{module}" for module in ("modeling_utils", "pipelines", "trainer")}
print(*sorted(heavy & set(sys.modules)), *(name for name in sys.modules if name.startswith("paravox.modeling.")))
"""
PIPELINE = """
import sys
from transformers.pipelines import PIPELINE_REGISTRY
from paravox.modeling.pipeline_vocal_burst import VocalBurstAnalysisPipeline
assert PIPELINE_REGISTRY.check_task("vocal-burst-analysis")[1]["impl"] is VocalBurstAnalysisPipeline
from transformers import AutoFeatureExtractor
# Now everything is imported that paravox waits for.
assert not any("paravox" in type(finder).__module__ for finder in sys.meta_path)
assert "exec_module" not in vars(sys.modules["transformers.pipelines"].__spec__.loader)
print("known")
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.split()


@pytest.mark.parametrize(
    "imports",
    [
        "import transformers\nimport paravox",
        "import paravox\nimport transformers",
        pytest.param("from transformers import AutoModel\nimport paravox", marks=pytest.mark.slow),
        pytest.param("from paravox.modeling.configuration_ensemble import FORMAT_VERSION", marks=pytest.mark.slow),
        pytest.param("from paravox.trainers.sampler import OneTaskBatchSampler", marks=pytest.mark.slow),
        pytest.param("from paravox.runs.settings import parse_settings", marks=pytest.mark.slow),
    ],
)
def test_models_are_known_whichever_comes_first(imports):
    assert run(f"{imports}\n{KNOWN}") == ["known"]


@pytest.mark.parametrize(
    "first",
    [
        "import paravox, transformers.pipelines",
        pytest.param("import transformers.pipelines, paravox", marks=pytest.mark.slow),
        # This module asks for Transformers' pipelines while it is half imported itself.
        pytest.param("import paravox.modeling.pipeline_vocal_burst", marks=pytest.mark.slow),
    ],
)
def test_the_pipeline_is_known_whichever_comes_first(first):
    assert run(f"{first}\n{PIPELINE}") == ["known"]


def test_importing_paravox_imports_no_library():
    found = run(
        "import sys, paravox; print(*sorted({'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules)))"
    )
    assert found == []


def test_the_auto_classes_come_with_no_code_of_a_model():
    """Paravox imports none of its own beside them, and nothing that they do not import themselves."""
    auto_classes = f"from transformers import AutoFeatureExtractor, AutoModel\n{IMPORTED}"
    assert run(f"import sys, paravox\n{auto_classes}") == run(f"import sys\n{auto_classes}")


@pytest.mark.parametrize("model_type", CLASSES)
def test_every_class_is_found_by_its_type_and_by_its_config(model_type):
    config, model, extractor = (getattr(paravox, name) for name in CLASSES[model_type])
    assert CONFIG_MAPPING[model_type] is config and config.model_type == model_type
    assert config in MODEL_MAPPING and MODEL_MAPPING[config] is model
    assert FEATURE_EXTRACTOR_MAPPING[config] is extractor
    assert model_type in CONFIG_MAPPING.keys() and config in MODEL_MAPPING.keys()
    assert AutoConfig.for_model  # the classes of Transformers stay as they are
    assert CONFIG_MAPPING["hubert"].__module__.startswith("transformers.")


def test_every_public_class_of_a_model_is_registered():
    named = {name for names in CLASSES.values() for name in names}
    public = {name for name in paravox.__all__ if name.endswith(("Config", "FeatureExtractor"))}
    assert public <= named


def test_names_are_imported_when_they_are_asked_for():
    """`decimal.Decimal` and `fractions.Fraction` stand for the classes; a plain dict tells what a mapping does."""
    from decimal import Decimal
    from fractions import Fraction

    expected = {int: float, "fraction": Fraction, Decimal: Fraction}
    mapping = _ImportedOnUse({int: float}, {"fraction": "fractions.Fraction", "decimal.Decimal": "fractions.Fraction"})
    assert len(mapping) == 3 and "fraction" in mapping and Decimal in mapping and "decimal" not in mapping
    assert mapping["fraction"] is Fraction and mapping[Decimal] is Fraction
    assert dict(mapping) == expected and len(mapping) == 3
    assert list(mapping.values()) == [float, Fraction, Fraction]
    mapping = _ImportedOnUse({}, {"fraction": "fractions.Fraction", "decimal.Decimal": "fractions.Fraction"})
    mapping["fraction"] = int  # someone else registers another class
    del mapping[Decimal]
    assert dict(mapping) == {"fraction": int}
    with pytest.raises(KeyError):
        mapping[Decimal]


def test_a_name_that_cannot_be_imported_stays_and_says_so_each_time():
    mapping = _ImportedOnUse({}, {"nothing": "decimal.Nothing"})
    for _ in range(2):
        with pytest.raises(AttributeError, match="Nothing"):
            mapping["nothing"]
