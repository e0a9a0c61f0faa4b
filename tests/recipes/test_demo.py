"""The demo, on few clips: what it trains, and that the rows of its table are of the runs that they name."""

import json
from importlib import import_module

import pandas as pd
import pytest

from paravox.recipes.demo import demo

ENCODER = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "num_mel_bins": 80,
}
SMALL = ["--train", "24", "--validation", "12", "--test", "8", "--num_train_epochs", "1"]
SMALL += ["--encoder_config", json.dumps(ENCODER), "--projection_size", "8", "--feature_size", "8"]


def test_the_demo_from_end_to_end(monkeypatch, tmp_path, capsys):
    started = []

    def in_this_process(program, arguments):
        started.append((program, arguments))
        import_module(f"paravox.recipes.{program}").main(arguments)

    monkeypatch.setattr(demo, "start", in_this_process)
    rows = demo.main(["--output_dir", str(tmp_path / "demo"), "--seed", "5", *SMALL])
    assert [program for program, _ in started] == ["burst2vec.train", "burst2vec.train", "burst2vec.predict"]
    (_, learned), (_, shuffled), (_, predicted) = started
    assert "--shuffle_labels" not in learned and shuffled[shuffled.index("--shuffle_labels") + 1] == "true"
    for arguments in (learned, shuffled):
        assert arguments[0].endswith("burst2vec/configs/tiny_demo.yaml")
        assert arguments[arguments.index("--seed") + 1] == "5"
    model = str(tmp_path / "demo" / "trained" / "model")
    assert predicted == [str(tmp_path / "demo" / "corpus" / "audio" / "test_00000.wav"), "--model", model]

    results = {
        name: json.loads((tmp_path / "demo" / name / "results.json").read_text()) for name in ("trained", "shuffled")
    }
    assert results["trained"]["val"] != results["shuffled"]["val"]
    assert rows == {
        "constant prediction": results["trained"]["constant"]["val"],
        "trained on shuffled labels": results["shuffled"]["val"],
        "Burst2Vec": results["trained"]["val"],
    }
    corpus = pd.read_csv(tmp_path / "demo" / "corpus" / "metadata.csv")
    assert corpus["split"].value_counts().to_dict() == {"train": 24, "validation": 12, "test": 8}
    printed = capsys.readouterr().out
    assert "Writing 44 synthetic bursts" in printed and f"paravox predict YOUR.wav --model {model}" in printed


@pytest.mark.parametrize("seed", ["5", "6"])
def test_the_corpus_is_that_of_the_seed(monkeypatch, tmp_path, seed):
    written = []

    class Stop(Exception):
        pass

    def stop(folder, clips_per_split, seed):
        written.append((folder, clips_per_split, seed))
        raise Stop

    monkeypatch.setattr(demo, "write_synthetic_corpus", stop)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "old.wav").touch()
    with pytest.raises(Stop):
        demo.main(["--output_dir", str(tmp_path), "--seed", seed])
    assert written == [(tmp_path / "corpus", {"train": 900, "validation": 300, "test": 300}, int(seed))]
    assert not (tmp_path / "corpus" / "old.wav").exists()
