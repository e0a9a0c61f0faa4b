"""The Auto classes know paravox's models whichever import comes first, and importing paravox imports no library."""

import subprocess
import sys

import pytest

KNOWN = """
from transformers import AutoConfig
from transformers.pipelines import PIPELINE_REGISTRY
tasks = [{"name": "age", "kind": "scalar", "range": [20, 39]}]
config = AutoConfig.for_model("burst2vec", encoder={"model_type": "hubert"}, tasks=tasks)
assert type(config).__module__ == "paravox.modeling.configuration_burst2vec", type(config)
assert "vocal-burst-analysis" in PIPELINE_REGISTRY.get_supported_tasks()
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
        "from paravox.modeling.configuration_ensemble import Burst2VecEnsembleConfig",
        pytest.param("from paravox.trainers.sampler import OneTaskBatchSampler", marks=pytest.mark.slow),
        pytest.param("from paravox.runs.settings import parse_settings", marks=pytest.mark.slow),
    ],
)
def test_models_are_known_whichever_comes_first(imports):
    assert run(f"{imports}\n{KNOWN}") == ["known"]


def test_importing_paravox_imports_no_library():
    found = run(
        "import sys, paravox; print(*sorted({'torch', 'transformers', 'numpy', 'datasets'} & set(sys.modules)))"
    )
    assert found == []


def test_transformers_is_found_as_without_paravox():
    """The finder stands aside once it was used, and the module keeps its own loader."""
    code = (
        "import sys, paravox, transformers\n"
        "assert not any('paravox' in type(finder).__module__ for finder in sys.meta_path)\n"
        "assert 'exec_module' not in vars(transformers.__spec__.loader)\n"
        "print(transformers.__version__)"
    )
    assert run(code) == [__import__("transformers").__version__]
