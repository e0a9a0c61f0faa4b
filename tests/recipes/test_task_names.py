"""Tasks may be called as people call them: from training over the card to predictions, scores and the pipeline."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from little_corpora import write_clip, write_metadata_corpus
from transformers import AutoModel, pipeline

from paravox.evaluation.predictions_file import read_predictions
from paravox.inference.onnx_export import export_onnx
from paravox.inference.opening import open_model
from paravox.inference.records_file import RecordsFile
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task
from paravox.recipes import describe
from paravox.recipes.burst2vec import audit, predict, score, train

CLASSES = ("type", "file", "a.b über/größe [bold]")
SCALARS = ("windows", "error", "$x^{")
INTENSITIES = {"how it sounds (1-5)": ["values", "50 % loud"], "train": ["pop", "a/b"]}
TASKS = [
    *({"name": name, "kind": "classes", "labels": [f"{name} 1", "no"]} for name in CLASSES),
    *({"name": name, "kind": "scalar", "range": [0, 10]} for name in SCALARS),
    *({"name": name, "kind": "intensities", "labels": labels} for name, labels in INTENSITIES.items()),
]
NAMES = [task["name"] for task in TASKS]
TINY = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "vocab_size": 64,
    "max_source_positions": 100,
}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    """A saved model without training, and three clips."""
    folder = tmp_path_factory.mktemp("model")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Burst2VecForMultiTask(Burst2VecConfig(TINY, TASKS, projection_size=8, feature_size=8))
    model.save_pretrained(folder / "model")
    Burst2VecFeatureExtractor.for_config(model.config.encoder).save_pretrained(folder / "model")
    for number in range(3):
        write_clip(folder / "clips" / f"{number}.wav", number)
    return folder


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A corpus, and what a short run on it leaves."""
    folder = tmp_path_factory.mktemp("names")
    write_metadata_corpus(folder / "corpus", TASKS)
    settings = {
        "tasks": TASKS,
        "encoder_config": TINY,
        "data_dir": str(folder / "corpus"),
        "output_dir": str(folder / "run"),
        "max_steps": 4,
        "eval_strategy": "steps",
        "eval_steps": 2,
        "save_steps": 2,
        "task_batching": "uniform",
        "task_batch_sizes": {CLASSES[2]: 3, "type": 2},
        "metric_for_best_model": f"{CLASSES[2]}_uar",
        "report_to": "none",
        "use_cpu": True,
        "projection_size": 8,
        "feature_size": 8,
        "task_weighting": "variances",
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    train.main([str(folder / "settings.json")])
    return folder


@pytest.mark.slow
def test_any_name_is_trained_scored_and_saved(run_folder):
    run = run_folder / "run"
    results = json.loads((run / "results.json").read_text())
    saved = read_predictions(run / "predictions" / "test.npz")
    assert set(saved.predictions) == set(saved.labels) == set(NAMES)
    for name in CLASSES:
        found = saved.predictions[name].argmax(axis=1)
        recalls = [np.mean(found[saved.labels[name] == label] == label) for label in (0, 1)]
        assert results["test"][f"{name}_uar"] == pytest.approx(np.mean(recalls))
    for name in SCALARS:
        error = np.abs(saved.predictions[name] - saved.labels[name]).mean()
        assert results["test"][f"{name}_mae"] == pytest.approx(error, rel=1e-5)
    assert len(list((run / "model" / "figures").glob("*.png"))) == 1 + len(CLASSES) + len(INTENSITIES)
    card = (run / "model" / "README.md").read_text()
    assert all(name in card.replace("\\", "") for name in NAMES)


def test_any_name_comes_back_with_its_own_weights(model_folder):
    model = AutoModel.from_pretrained(model_folder / "model")
    assert list(model.heads) == NAMES
    inputs = {"input_features": torch.randn(2, 80, 30, generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        output = model.eval()(**inputs)
        for name in NAMES:
            head = model.get_submodule(f"heads.{[*model.heads._modules][NAMES.index(name)]}")
            torch.testing.assert_close(head(output.representations["joint"][name]), output.logits[name])


def test_any_name_is_an_entry_of_its_own_in_the_pipelines_answer(model_folder):
    analyse = pipeline("vocal-burst-analysis", model=str(model_folder / "model"))
    clip = str(model_folder / "clips" / "0.wav")
    record = analyse(clip, window_seconds=0.1, return_embeddings=True)
    assert set(record) == {*NAMES, "windows_", "embeddings"}
    assert isinstance(record["windows"], float) and len(record["windows_"]) == 3
    assert set(record["windows_"][0]) == {*NAMES, "start", "end", "embeddings"}
    assert set(record["file"]) == {"file 1", "no"}


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        (".jsonl", lambda text: map(json.loads, text.splitlines())),
        (".csv", lambda text: csv.DictReader(text.splitlines())),
    ],
)
def test_any_name_is_predicted_into_files_that_go_on(model_folder, tmp_path, suffix, read):
    command = [str(model_folder / "clips"), "--model", str(model_folder / "model")]
    output = tmp_path / f"predictions{suffix}"
    predict.main([*command, "--output", str(output)])
    whole = output.read_text()
    assert len(whole.splitlines()) == 3 + (suffix == ".csv")
    output.write_text(whole[: len(whole) // 2])
    predict.main([*command, "--output", str(output)])
    rows, again = ([*read(text)] for text in (whole, output.read_text()))
    assert [row["file_"] for row in rows] == [row["file_"] for row in again]
    for row, other in zip(rows, again, strict=True):
        assert row["file_"].endswith(".wav") and float(row["error"]) == pytest.approx(float(other["error"]), abs=1e-5)


def test_any_name_stands_beside_windows_and_embeddings(model_folder, tmp_path, capsys):
    clip = str(model_folder / "clips" / "0.wav")
    command = [clip, "--model", str(model_folder / "model"), "--window_seconds", "0.1"]
    (record,) = predict.main([*command, "--embeddings", "--json"])
    analyse = pipeline("vocal-burst-analysis", model=str(model_folder / "model"))
    expected = analyse(clip, window_seconds=0.1, return_embeddings=True)
    assert set(record) == {"file_", *expected} and record["windows"] == pytest.approx(expected["windows"], rel=1e-3)
    assert [set(window) for window in record["windows_"]] == [set(window) for window in expected["windows_"]]
    assert set(record["embeddings"]["joint"]) == set(NAMES)
    for name in NAMES:
        joint = expected["embeddings"]["joint"][name]
        assert record["embeddings"]["joint"][name] == pytest.approx(joint, rel=1e-3, abs=1e-5)
    output = tmp_path / "windows.csv"
    for _ in range(2):  # the second time there is nothing left to do
        predict.main([*command, "--output", str(output)])
        rows = list(csv.DictReader(output.read_text().splitlines()))
        assert [(row["window"], row["windows_"], row["start"]) for row in rows] == [
            (str(number), "3", str(window["start"])) for number, window in enumerate(record["windows_"], start=1)
        ]
        assert [float(row["windows"]) for row in rows] == pytest.approx([one["windows"] for one in record["windows_"]])


def test_any_name_stands_in_the_table_of_predict(model_folder, capsys):
    clip = str(model_folder / "clips" / "0.wav")
    for options in ([], ["--window_seconds", "0.1"]):
        predict.main([clip, "--model", str(model_folder / "model"), *options])
        lines = capsys.readouterr().out.splitlines()
        assert "[bold]" in lines[0] and [line.startswith(clip) for line in lines[1:]] == [True] * (3 if options else 1)


@pytest.mark.slow
def test_any_name_is_scored_and_reported(run_folder, tmp_path):
    model, corpus = str(run_folder / "run" / "model"), str(run_folder / "corpus")
    scores = score.main([model, "--data_dir", corpus, "--report", str(tmp_path / "report.html")])
    assert all(f'"{name}_uar"' in json.dumps(scores, ensure_ascii=False) for name in CLASSES)
    page = (tmp_path / "report.html").read_text()
    assert "über/größe" in page and "[bold]" in page


@pytest.mark.slow
def test_any_name_is_described_and_audited(run_folder, tmp_path):
    corpus, settings = str(run_folder / "corpus"), str(run_folder / "settings.json")
    describe.main([settings, "--data_dir", corpus, "--output_dir", str(tmp_path / "figures")])
    assert list((tmp_path / "figures").glob("*.png"))
    model = str(run_folder / "run" / "model")
    audit.main([model, "--data_dir", corpus, "--output", str(tmp_path / "audit.json")])


def test_any_name_is_exported(model_folder, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, extractor = open_model(str(model_folder / "model"))
    file = export_onnx(model, extractor, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == NAMES


@pytest.mark.slow
def test_a_run_with_any_name_goes_on(run_folder, tmp_path):
    again = tmp_path / "run"
    shutil.copytree(run_folder / "run", again)
    options = ["--output_dir", str(again), "--resume_from_checkpoint", "last", "--max_steps", "6"]
    results = train.main([str(run_folder / "settings.json"), *options])
    assert set(read_predictions(again / "predictions" / "test.npz").predictions) == set(NAMES)
    assert "$x^{_mae" in results["test"]


@pytest.mark.parametrize("name", ["", " age", "age ", "a\nb", "a\0b", "\ud800", "x" * 101, 3, None, ["age"]])
def test_a_name_that_is_no_line_of_text_is_refused(name):
    with pytest.raises(ConfigError, match="task name .* must be text of one line"):
        Task(name, "scalar", range=(0, 1))


def test_columns_of_a_table_that_would_have_one_name_are_refused(tmp_path):
    tasks = [Task("a", "classes", ("b/c", "d")), Task("a/b", "classes", ("c", "e"))]
    with pytest.raises(ConfigError, match="two columns of the table would be called 'a/b/c'"):
        RecordsFile(tmp_path / "out.csv", tasks, [], {})
    RecordsFile(tmp_path / "out.jsonl", tasks, [], {})
