"""The calibrate program: what Val sets, what a calibrated model answers, and what the card says."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from little_corpora import write_clip, write_metadata_corpus
from transformers import pipeline

from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import calibrate, predict


@pytest.fixture
def settings(tasks, tmp_path):
    """A YAML file and its corpus."""
    corpus = write_metadata_corpus(tmp_path / "corpus", tasks)
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump({"tasks": tasks, "data_dir": str(corpus)}))
    return file


@pytest.fixture
def model(saved_members):
    """The folder of a tiny model, with a card that shows a figure."""
    folder = Path(saved_members[2])
    (folder / "figures").mkdir()
    (folder / "figures" / "a.png").write_bytes(b"figure")
    (folder / "README.md").write_text("# Mine\n\n## Scores\n\ntext\n\n## Citation\n\nus\n")
    return folder


def by_hand(folder, corpus, split):
    """Logits and pooled states of a split, one clip at a time."""
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    extractor = Burst2VecFeatureExtractor.from_pretrained(folder)
    rows = [line.split(",") for line in (corpus / "metadata.csv").read_text().splitlines()[1:]]
    files = [corpus / row[0] for row in rows if row[2] == split]
    with torch.no_grad():
        outputs = [model(**extractor([str(file)], return_tensors="pt")) for file in files]
    return files, outputs


def test_a_calibrated_copy(settings, model, tmp_path, capsys):
    folder, file = tmp_path / "calibrated", tmp_path / "report.json"
    command = [str(settings), "--model", str(model), "--output_dir", str(folder), "--output", str(file)]
    report = calibrate.main([*command, "--false_alarm_rate", "0.25"])
    assert json.loads(file.read_text()) == report
    files, outputs = by_hand(folder, tmp_path / "corpus", "validation")
    assert report["val"]["clips"] == len(files)
    unusual = np.array([output.unusual.item() for output in outputs])
    assert report["val"]["unusual"] == pytest.approx(np.mean(unusual > 1)) and 0 < np.mean(unusual > 1) < 0.5
    for task, values in report["calibration"].items():
        for output in outputs:
            scaled = (output.logits[task] - values.get("offset", 0)) / values["temperature"]
            expected = scaled.sigmoid() if "offset" in values else scaled.softmax(dim=-1)
            torch.testing.assert_close(output.calibrated[task], expected)
    # The predictions are those of the model as it was.
    for before, after in zip(by_hand(model, tmp_path / "corpus", "validation")[1], outputs, strict=True):
        for task, values in before.predictions.items():
            torch.testing.assert_close(values, after.predictions[task])
    card = (folder / "README.md").read_text()
    assert card.index("## Scores") < card.index(f"## {calibrate.SECTION}") < card.index("## Citation")
    assert "further from them than 75% of Val" in card and (folder / "figures" / "a.png").is_file()
    assert f"The calibrated model is saved in {folder}." in capsys.readouterr().out
    # A second time replaces the section.
    calibrate.main([str(settings), "--model", str(folder), "--output_dir", str(tmp_path / "again")])
    assert (tmp_path / "again" / "README.md").read_text().count(f"## {calibrate.SECTION}") == 1


def test_predict_and_the_pipeline_say_the_same(settings, model, tmp_path, capsys):
    folder = str(tmp_path / "calibrated")
    calibrate.main([str(settings), "--model", str(model), "--output_dir", folder])
    write_clip(tmp_path / "clips" / "a.wav", 0, 0.5)
    soundfile.write(tmp_path / "clips" / "b.wav", np.full(8_000, 0.1), 16_000)
    soundfile.write(tmp_path / "clips" / "c.wav", np.random.default_rng(0).normal(size=200) / 10, 16_000)
    capsys.readouterr()
    records = predict.main([str(tmp_path / "clips"), "--model", folder])
    printed = capsys.readouterr().out
    assert "warning" in printed and "silence" in printed
    assert [record.get("warning") for record in records][1:] == ["silence", "too short"]
    analyse = pipeline("vocal-burst-analysis", model=folder)
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    extractor = Burst2VecFeatureExtractor.from_pretrained(folder)
    for record in records:
        answer = analyse(record["file"])
        assert answer.keys() == record.keys() - {"file"}
        with torch.no_grad():
            output = model(**extractor([record["file"]], return_tensors="pt"))
        assert record["unusual"] == pytest.approx(output.unusual.item(), rel=1e-3)
        assert answer["unusual"] == pytest.approx(output.unusual.item(), rel=1e-3)
        for task in ("emotion", "country"):
            expected = output.calibrated[task][0].tolist()
            assert list(record[task].values()) == pytest.approx(expected, abs=1e-4)
            assert list(answer[task].values()) == pytest.approx(expected, abs=1e-4)
    windows = analyse(str(tmp_path / "clips" / "b.wav"), window_seconds=0.25)
    assert windows["warning"] == "silence" == windows["windows"][1]["warning"]
    predict.main([str(tmp_path / "clips"), "--model", folder, "--output", str(tmp_path / "out.csv")])
    header, *rows = (tmp_path / "out.csv").read_text().splitlines()
    assert header.endswith("unusual,warning,error") and rows[1].split(",")[-2] == "silence"


def test_a_saved_type_and_a_part_of_train(settings, model, tmp_path):
    command = [str(settings), "--model", str(model), "--output_dir", str(tmp_path / "half"), "--max_clips", "3"]
    report = calibrate.main([*command, "--save_dtype", "float16"])
    assert report["familiarity"]["directions"] == 1  # three clips have no more
    opened = Burst2VecForMultiTask.from_pretrained(tmp_path / "half", dtype="auto")
    assert {parameter.dtype for parameter in opened.parameters()} == {torch.float16}


def test_what_is_refused(settings, model, tmp_path):
    command = [str(settings), "--model", str(model), "--output_dir"]
    with pytest.raises(ConfigError, match="is the folder of the model"):
        calibrate.main([*command, str(model)])
    with pytest.raises(ConfigError, match="false_alarm_rate is 1.0"):
        calibrate.main([*command, str(tmp_path / "x"), "--false_alarm_rate", "1"])
    with pytest.raises(ConfigError, match="max_clips is 1"):
        calibrate.main([*command, str(tmp_path / "x"), "--max_clips", "1"])
    table = tmp_path / "corpus" / "metadata.csv"
    table.write_text(table.read_text().replace(",validation,", ",train,"))
    with pytest.raises(CorpusError, match="has no Val, on which a model is calibrated"):
        calibrate.main([*command, str(tmp_path / "x")])
