"""Published models open anywhere and hold nothing private, and failures are explained, on a Hub on loopback."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from hub_server import HubServer, Repository
from huggingface_hub import ModelCard

from paravox import (
    Burst2VecEnsemble,
    Burst2VecEnsembleFeatureExtractor,
    Burst2VecFeatureExtractor,
    EncoderForPreFinetuning,
    Wav2Vec2ForPreFinetuning,
)
from paravox.corpora.synthetic import write_synthetic_corpus
from paravox.recipes.burst2vec import predict

USING_MODELS = Path(__file__).parents[2] / "docs" / "hub.md"
CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
MODEL = "writer/bursts"

# Where a model is used there is torch, transformers, soundfile and soxr, and nothing else that paravox needs: here, it
# cannot be imported. tests/slow names an interpreter that does not have it.
ELSEWHERE_PYTHON = os.environ.get("PARAVOX_ELSEWHERE_PYTHON", sys.executable)
ELSEWHERE = """
import json, sys
for absent in ("paravox", "accelerate", "datasets", "evaluate", "audiomentations", "sklearn", "pandas", "matplotlib",
               "scipy", "librosa"):
    sys.modules[absent] = None
"""
ANALYSE = """
from transformers import AutoFeatureExtractor, AutoModel, pipeline
repo, *clips = sys.argv[1:]
try:
    AutoModel.from_pretrained(repo)
except ValueError as error:
    assert "trust_remote_code=True" in str(error), error
else:
    sys.exit("code that nobody trusted was run")
analyse = pipeline("vocal-burst-analysis", model=repo, trust_remote_code=True)
model = AutoModel.from_pretrained(repo, trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained(repo, trust_remote_code=True)
predictions = [model(**extractor(clip, return_tensors="pt")).predictions for clip in clips]
assert type(model).__module__.startswith("transformers_modules."), type(model).__module__
print()  # behind the question whether to trust the code, which nobody answered
print(json.dumps({
    "records": analyse(clips),
    "predictions": [{name: values[0].tolist() for name, values in found.items()} for found in predictions],
}))
"""


@pytest.fixture(scope="module")
def hub():
    with HubServer({"writer": "hf_writer", "reader": "hf_reader"}) as running:
        yield running


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


def run(hub, folder, *command, python=sys.executable, token=None, **variables):
    """Runs Python with arguments in a process of its own, which takes the server for the Hub."""
    environment = hub.environment(folder / "home", token) | variables
    return subprocess.run(
        [python, *map(str, command)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def output_of(done):
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def run_elsewhere(hub, folder, code, *arguments):
    """Runs code where paravox is not installed."""
    return run(hub, folder, "-c", ELSEWHERE + code, *arguments, python=ELSEWHERE_PYTHON)


@pytest.fixture(scope="module")
def clips(work):
    """A burst at 16 kHz, and a stereo recording at 44.1 kHz."""
    generator = np.random.default_rng(0)
    paths = [work / "laugh.wav", work / "stereo.wav"]
    soundfile.write(paths[0], generator.normal(scale=0.1, size=9_000), 16_000)
    soundfile.write(paths[1], generator.normal(scale=0.1, size=(30_000, 2)), 44_100)
    return paths


@pytest.fixture(scope="module")
def trained(hub, work):
    """A run of train.py that pushed while it trained: its output folder."""
    write_synthetic_corpus(work / "corpus", {"train": 80, "validation": 20, "test": 20}, seed=0)
    options = {
        "data_dir": "corpus",
        "output_dir": "run",
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "push_to_hub": "true",
        "hub_model_id": MODEL,
        "hub_always_push": "true",
        "use_cpu": "true",
    }
    config = Path(predict.__file__).parent / "configs" / "tiny_demo.yaml"
    arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
    output_of(run(hub, work, "-m", "paravox.recipes.burst2vec.train", config, *arguments, token="hf_writer"))
    return work / "run"


def assert_nothing_private(hub, repo_id, *secrets):
    for path, content in hub.files(repo_id).items():
        assert Path(path).suffix in (".safetensors", ".json", ".py", ".md", ".png", ".yaml") or path == ".gitattributes"
        # A pickle begins with its protocol, and what torch.save writes is a ZIP.
        assert not content.startswith((b"\x80", b"PK")), path
        for secret in ("hf_writer", str(Path.home()), str(Path(__file__).parents[2]), *secrets):
            assert secret.encode() not in content, (path, secret)


def as_plain(record):
    return {name: list(value.values()) if isinstance(value, dict) else value for name, value in record.items()}


def assert_opens_elsewhere(hub, work, repo_id, clips, expected):
    found = json.loads(output_of(run_elsewhere(hub, work, ANALYSE, repo_id, *clips)).splitlines()[-1])
    for row, record in enumerate(expected):
        for name, values in as_plain({key: value for key, value in record.items() if key != "file"}).items():
            np.testing.assert_allclose(found["predictions"][row][name], values, atol=1e-6, rtol=1e-6)
            np.testing.assert_allclose(as_plain(found["records"][row])[name], values, atol=1e-6, rtol=1e-6)


def test_a_training_run_leaves_a_model_on_the_hub(hub, work, trained, clips):
    assert hub.repositories[MODEL].messages == [
        "initial commit",
        "Training in progress, step 2",
        "Training in progress, step 4",
        "End of training",
    ]
    files = hub.files(MODEL)
    assert {"README.md", "config.json", "preprocessor_config.json", "model.safetensors"} <= files.keys()
    assert {
        "modeling_burst2vec.py",
        "pipeline_vocal_burst.py",
        "figures/country.png",
        "figures/emotion.png",
    } <= files.keys()
    assert_nothing_private(hub, MODEL, str(work))
    assert files["model.safetensors"] == (trained / "model" / "model.safetensors").read_bytes()
    expected = predict.main([*map(str, clips), "--model", str(trained / "model")])
    assert_opens_elsewhere(hub, work, MODEL, clips, expected)


def test_its_card_is_whole(hub, trained):
    card = ModelCard(hub.files(MODEL)["README.md"].decode())
    first = next(line for line in card.text.splitlines() if line.strip())
    assert first.startswith("**Trained on synthetic audio")
    results = json.loads((trained / "results.json").read_text())
    scores = {(found.dataset_split, found.metric_name): found.metric_value for found in card.data.eval_results}
    assert scores["test", "emotion: CCC"] == round(results["test"]["emotion_ccc"], 4)
    assert len(scores) == 2 * len(results["test"])
    assert "`max_steps`: 4" in card.text and "card_" not in card.text
    # The card of a push while training says that its scores are not the last ones.
    revisions = list(hub.repositories[MODEL].revisions.values())
    assert "| at step 2 |" in revisions[1]["README.md"].decode()


def test_the_snippets_run(hub, work, trained, clips):
    """The card's, and the first one of the page on using models, with this model's name and a real clip."""
    card = CODE.search(hub.files(MODEL)["README.md"].decode())[1]
    page = re.sub(r'model="[^"]+"', f'model="{MODEL}"', CODE.search(USING_MODELS.read_text())[1])
    assert f'model="{MODEL}"' in page
    lines = output_of(run_elsewhere(hub, work, card + page)).splitlines()
    printed = [line for line in lines if line.startswith("{")]
    assert len(printed) == 2 and all("'emotion': {'Awe':" in line and "'age':" in line for line in printed)


PREDICT_AND_SCORE = """
import sys
from paravox.recipes.burst2vec import predict
from paravox.recipes.burst2vec import score
model, revision, clip = sys.argv[1:]
predict.main([clip, "--model", model, "--json"])
score.main([model, "--data_dir", "corpus", "--output", "last.json"])
score.main([model, "--data_dir", "corpus", "--output", "middle.json", "--revision", revision])
"""


@pytest.mark.slow
def test_predict_and_score_take_a_name(hub, work, trained, clips):
    middle = list(hub.repositories[MODEL].revisions)[1]
    said = output_of(run(hub, work, "-c", PREDICT_AND_SCORE, MODEL, middle, clips[0]))
    assert json.loads(said.splitlines()[0]) == predict.main([str(clips[0]), "--model", str(trained / "model")])[0]
    last, first = (json.loads((work / name).read_text())[MODEL] for name in ("last.json", "middle.json"))
    log = json.loads((trained / "trainer_state.json").read_text())["log_history"]
    step_2 = next(entry for entry in log if entry["step"] == 2 and "eval_emotion_ccc" in entry)
    assert first["emotion_ccc"] == pytest.approx(step_2["eval_emotion_ccc"], abs=1e-5)
    assert last["emotion_ccc"] == pytest.approx(
        json.loads((trained / "results.json").read_text())["val"]["emotion_ccc"], abs=1e-5
    )


@pytest.mark.slow
def test_training_goes_on_from_a_model_on_the_hub(hub, work, trained):
    config = yaml.safe_load((Path(predict.__file__).parent / "configs" / "tiny_demo.yaml").read_text())
    del config["encoder_config"]
    (work / "on.yaml").write_text(yaml.safe_dump(config))
    options = {"start_from": MODEL, "data_dir": "corpus", "output_dir": "on", "max_steps": 1, "use_cpu": "true"}
    options |= {"learning_rate": 0, "save_strategy": "no", "eval_strategy": "no", "load_best_model_at_end": "false"}
    options = [part for key, value in options.items() for part in (f"--{key}", value)]
    output_of(run(hub, work, "-m", "paravox.recipes.burst2vec.train", "on.yaml", *options))
    # A step of rate 0 leaves the weights that it began with.
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (work / "on", trained)]
    assert weights[0] == weights[1]
    assert json.loads((work / "on" / "results.json").read_text())["test"] == pytest.approx(
        json.loads((trained / "results.json").read_text())["test"], abs=1e-5
    )


PUSH = """
import sys
from transformers import AutoFeatureExtractor, AutoModel
import paravox
folder, repo = sys.argv[1:]
AutoModel.from_pretrained(folder).push_to_hub(repo, private=True)
AutoFeatureExtractor.from_pretrained(folder).push_to_hub(repo)
"""


PUSH_BY_TRAINER = """
import logging, sys
from paravox import Burst2VecFeatureExtractor, Burst2VecForMultiTask, Burst2VecTrainer, MultiTaskTrainingArguments
from paravox.modeling.errors import ConfigError
folder, repo, output_dir = sys.argv[1:]
settings = {"push_to_hub": True, "hub_model_id": repo, "hub_revision": "next", "hub_strategy": "end", "use_cpu": True}
args = MultiTaskTrainingArguments(output_dir=output_dir, **settings)
parts = (part.from_pretrained(folder) for part in (Burst2VecForMultiTask, Burst2VecFeatureExtractor))
model, extractor = parts
trainer = Burst2VecTrainer(model, args, extractor)
trainer._push_from_checkpoint(folder)  # with this strategy, nothing
for options in ({}, {"language": "en"}):
    try:
        trainer.push_to_hub("By hand", **options)
    except ConfigError as error:
        print(error)
print(trainer.push_to_hub("By hand", blocking=True).commit_message)
"""


@pytest.mark.slow
def test_a_trainer_pushes_to_a_branch_and_says_why_it_cannot(hub, work, trained, tmp_path):
    hub.fail_next("POST", "/commit/next", 403)
    said = output_of(
        run(hub, work, "-c", PUSH_BY_TRAINER, trained / "model", "branched", tmp_path / "out", token="hf_writer")
    )
    refused, stock_card, message = said.splitlines()
    assert refused.startswith("the Hub refused to write to 'writer/branched' (403: this fault was asked for)")
    assert stock_card.startswith("'language' cannot be given here")
    assert message == "By hand" and hub.repositories["writer/branched"].messages == ["initial commit", "By hand"]
    assert set(hub.files("writer/branched")) == {".gitattributes"}
    assert hub.files("writer/branched", "next")["model.safetensors"] == hub.files(MODEL)["model.safetensors"]


@pytest.mark.slow
def test_ensembles_are_pushed_by_their_class(hub, work, saved_members, clips, tmp_path):
    folder = tmp_path / "ensemble"
    Burst2VecEnsemble.from_members(saved_members).save_pretrained(folder)
    Burst2VecEnsembleFeatureExtractor.from_members(saved_members).save_pretrained(folder)
    output_of(run(hub, work, "-c", PUSH, folder, "ensemble", token="hf_writer"))
    assert hub.repositories["writer/ensemble"].private
    assert_nothing_private(hub, "writer/ensemble", str(tmp_path))
    hub.repositories["writer/ensemble"].private = False
    assert_opens_elsewhere(
        hub, work, "writer/ensemble", clips, predict.main([*map(str, clips), "--model", str(folder)])
    )


PUBLISH = """
import sys
from paravox.modeling.errors import ConfigError
from paravox.trainers.publishing import publish_folder
for case in sys.argv[1:]:
    folder, repo_id, token, revision = case.split("|")
    try:
        publish_folder(folder, repo_id, token=token, revision=revision or None, commit_message="Again")
    except ConfigError as error:
        print(error)
    else:
        print("published")
"""


@pytest.mark.slow
def test_pre_finetuned_models_are_published(hub, work, saved_encoders, clips, tmp_path):
    tasks = [{"name": "emodb", "kind": "classes", "labels": ["anger", "fear"]}]
    tasks.append({"name": "turev", "kind": "classes", "labels": ["calm", "happy", "sad"]})
    expected, cases = {}, []
    for model_class, encoder in ((EncoderForPreFinetuning, "whisper"), (Wav2Vec2ForPreFinetuning, "wav2vec2")):
        model = model_class.from_encoder(str(saved_encoders[encoder]), tasks=tasks).eval()
        extractor = Burst2VecFeatureExtractor.from_encoder(str(saved_encoders[encoder]))
        for part in (model, extractor):
            part.save_pretrained(tmp_path / encoder)
        predictions = [model(**extractor(str(clip), return_tensors="pt")).predictions for clip in clips]
        records = [{name: values[0].tolist() for name, values in found.items()} for found in predictions]
        expected[f"writer/{encoder}"] = records
        cases.append(f"{tmp_path / encoder}|writer/{encoder}|hf_writer|")
    assert output_of(run(hub, work, "-c", PUBLISH, *cases)).split() == ["published", "published"]
    for repo_id, records in expected.items():
        assert_nothing_private(hub, repo_id, str(tmp_path), *map(str, saved_encoders.values()))
        assert_opens_elsewhere(hub, work, repo_id, clips, records)


OPEN = """
import sys
from paravox.modeling.errors import CheckpointError
from paravox.inference.opening import open_model
for case in sys.argv[1:]:
    name, _, revision = case.partition("@")
    try:
        open_model(name, revision or None)
    except CheckpointError as error:
        print(error)
"""


@pytest.mark.slow
def test_what_cannot_be_opened_says_why(hub, work, trained):
    files = hub.files(MODEL)
    files["config.json"] = json.dumps(json.loads(files["config.json"]) | {"format_version": 99}).encode()
    newer = hub.repositories["writer/newer"] = Repository(private=False)
    newer.commit("main", {path: newer.store(content) for path, content in files.items()}, "newer", "writer")
    said = output_of(run(hub, work, "-c", OPEN, "writer/none", f"{MODEL}@none", "writer/newer")).splitlines()
    said += output_of(run(hub, work, "-c", OPEN, "writer/other", HF_HUB_OFFLINE="1")).splitlines()
    expected = [
        "'writer/none' cannot be opened .*is not a valid model identifier",
        "'writer/bursts' cannot be opened .*none is not a valid git identifier",
        "format_version 99, this paravox knows up to 1: upgrade paravox",
        "'writer/other' cannot be opened .*(offline|connect|load)",
    ]
    assert len(said) == len(expected)
    for line, message in zip(said, expected, strict=True):
        assert re.search(message, line), line


@pytest.mark.slow
def test_publishing_says_what_is_in_the_way(hub, work, trained, tmp_path):
    changed = tmp_path / "model"
    shutil.copytree(trained / "model", changed)
    (changed / "README.md").write_text((changed / "README.md").read_text() + "\nMore.\n")
    before = hub.files(MODEL)
    hub.fail_next("POST", "/commit/", 403)
    cases = ["reader/x|hf_writer|", "writer/x|hf_nobody|", "a/b/c|hf_writer|"]
    cases += [f"{MODEL}|hf_writer|", f"{MODEL}|hf_writer|second"]
    said = output_of(run(hub, work, "-c", PUBLISH, *(f"{changed}|{case}" for case in cases))).splitlines()
    assert re.match("the Hub refused to write to 'reader/x' \\(403: .*no right", said[0])
    assert re.match("the Hub refused to write to 'writer/x' \\(401: ", said[1])
    assert said[2].startswith("'a/b/c' is not a valid name on the Hub")
    assert said[3].startswith(
        "the Hub refused to write to 'writer/bursts' (403: this fault was asked for): check the name"
    )
    assert said[4:] == ["published"]
    assert hub.files(MODEL) == before and hub.repositories[MODEL].messages[-1] == "Again"
    assert hub.files(MODEL, "second")["README.md"].endswith(b"More.\n")
    said = output_of(run(hub, work, "-c", PUBLISH, f"{changed}|writer/x|hf_writer|", HF_ENDPOINT="http://127.0.0.1:9"))
    assert said.startswith("the Hub cannot be reached to write to 'writer/x'")


@pytest.mark.slow
def test_an_upload_that_was_cut_off_is_tried_again(hub, work, saved_members, tmp_path):
    """The client sends large files again by itself; what is visible in between is nothing, or all."""
    hub.fail_next("PUT", "/lfs/", "drop")
    output_of(run(hub, work, "-m", "paravox.recipes.publish", saved_members[0], "writer/cut", token="hf_writer"))
    assert hub.repositories["writer/cut"].messages == ["initial commit", "Upload model"]
    weights = (Path(saved_members[0]) / "model.safetensors").read_bytes()
    assert hub.files("writer/cut")["model.safetensors"] == weights
