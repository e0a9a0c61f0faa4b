"""The program that adapts a model: from class folders to a prediction, and its card."""

import pytest
from huggingface_hub import ModelCard
from little_corpora import write_clip

from paravox.modeling.errors import AudioError, ConfigError
from paravox.recipes import adapt
from paravox.recipes.burst2vec import predict
from paravox.trainers.publishing import check_publishable


@pytest.fixture
def clips(tmp_path):
    """Class folders with four clips each of white and brown noise."""
    for number in range(8):
        write_clip(tmp_path / f"clips/{('content', 'in pain')[number % 2]}/{number}.wav", number)
    return tmp_path / "clips"


def test_a_folder_becomes_a_model_that_predicts(clips, saved_encoders, tmp_path, capsys):
    options = ["--model", str(saved_encoders["whisper"]), "--output_dir", str(tmp_path / "me"), "--task", "mood"]
    adapted = adapt.main([str(clips), *options])
    printed = capsys.readouterr().out
    assert f"8 clips, labelled by the sub-folders of {clips}" in printed
    assert "  in pain: 4 clips, 1.2 s" in printed and adapted.summary in printed
    found = predict.main([str(clips), "--model", str(tmp_path / "me"), "--json"])
    assert [max(record["mood"], key=record["mood"].get) for record in found] == ["content"] * 4 + ["in pain"] * 4
    card = ModelCard.load(tmp_path / "me/README.md")
    assert "| content | 4 | 1.2 |\n| in pain | 4 | 1.2 |" in card.text and adapted.summary in card.text
    assert "The speakers are not named." in card.text and card.data.base_model is None
    assert f"hidden state {adapted.head.layer} of the encoder" in card.text
    assert "None" not in card.text and str(tmp_path) not in card.text
    check_publishable(tmp_path / "me")
    with pytest.raises(ConfigError, match="already holds a model: choose another, or replace it with --overwrite"):
        adapt.main([str(clips), *options])
    # An adapted model can be adapted, but not onto itself.
    with pytest.raises(ConfigError, match="is the model to adapt"):
        adapt.main([str(clips), "--model", str(tmp_path / "me"), "--output_dir", str(tmp_path / "me"), "--overwrite"])


def test_a_table_with_speakers(clips, saved_encoders, tmp_path, capsys):
    rows = [
        f"{path.relative_to(clips)},{path.parent.name},{'ab'[int(path.stem) // 2 % 2]}" for path in clips.glob("*/*")
    ]
    (clips / "metadata.csv").write_text("\n".join(["file_name,label,speaker", *rows, ""]))
    (clips / "broken.wav").write_text("no sound")
    options = ["--model", str(saved_encoders["whisper"]), "--output_dir", str(tmp_path / "me"), "--layer", "2"]
    adapted = adapt.main([str(clips), *options])
    assert adapted.speakers == 2 and adapted.head.layer == 2 and adapted.model.config.layer is None
    assert "labelled by the table" in capsys.readouterr().out
    assert "The clips are of 2 speakers." in (tmp_path / "me/README.md").read_text()
    with open(clips / "metadata.csv", "a") as file:
        file.write("broken.wav,content,a\n")
    with pytest.raises(AudioError, match="1 of 9 clips cannot be used: .*broken.wav"):
        adapt.main([str(clips), *options, "--overwrite"])
    adapt.main([str(clips), *options, "--overwrite", "--skip_bad"])
    assert "left out: " in capsys.readouterr().out
    assert "1 clip was left out." in (tmp_path / "me/README.md").read_text()


def test_a_model_must_be_named(clips, capsys):
    with pytest.raises(SystemExit):
        adapt.main([str(clips), "--output_dir", "me"])
    assert "required: --model" in capsys.readouterr().err
