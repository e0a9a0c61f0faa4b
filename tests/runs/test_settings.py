"""Settings from YAML and command line: what is taken, and how what is wrong is said."""

from dataclasses import dataclass, field

import pytest

from paravox.modeling.errors import ConfigError
from paravox.runs.settings import parse_settings
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments


@dataclass
class Settings:
    tasks: list[dict] = field(metadata={"help": "what to predict"})
    data_dir: str = field(metadata={"help": "where the clips are"})
    encoder_config: dict | None = None
    layer_weights: bool = True
    max_seconds: float | None = None


@pytest.fixture
def parse(tmp_path):
    def run(text, *options):
        path = tmp_path / "settings.yaml"
        path.write_text(f"tasks: [{{name: age}}]\noutput_dir: {tmp_path}\n{text}")
        return parse_settings((Settings, MultiTaskTrainingArguments), [str(path), *options])

    return run


def test_the_command_line_overrides_the_file(parse):
    settings, args = parse("data_dir: a\nlearning_rate: 1e-5\nmax_seconds: 5", "--data_dir", "b", "--seed", "3")
    assert settings == Settings([{"name": "age"}], "b", max_seconds=5)
    # PyYAML reads 1e-5 as text.
    assert args.learning_rate == 1e-5 and args.seed == 3


def test_structures_are_json_on_the_command_line(parse):
    options = ["--data_dir", "x", "--tasks", '[{"name": "b"}]', "--encoder_config", '{"model_type": "hubert"}']
    settings, args = parse("", *options, "--task_batch_sizes", '{"b": 4}', "--layer_weights", "false")
    assert settings == Settings([{"name": "b"}], "x", {"model_type": "hubert"}, False)
    assert args.task_batch_sizes == {"b": 4}


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("learnin_rate: 1", [], "unknown key 'learnin_rate': did you mean 'learning_rate'"),
        ("", ["--learnin_rate", "1"], "unknown option '--learnin_rate': did you mean '--learning_rate'"),
        ("learning_rate: [1]", [], r"learning_rate is \[1\], expected a number"),
        ("num_train_epochs: many", [], "num_train_epochs.*'many'"),
        ("seed: 4.5", [], "seed is 4.5, expected a whole number"),
        ("layer_weights: 3", [], "layer_weights is 3, expected true or false"),
        ("tasks: age", [], "tasks is 'age', expected a list, each a mapping"),
        ("task_batching: random", [], "task_batching is 'random', expected one of proportional"),
        ("max_batch_seconds: -1", [], "max_batch_seconds is -1.*above 0"),
    ],
)
def test_what_is_wrong_is_named(parse, text, options, message):
    with pytest.raises(ConfigError, match=message):
        parse(text, "--data_dir", "x", *options)


def test_a_missing_key_is_named(parse):
    with pytest.raises(ConfigError, match="data_dir"):
        parse("")


@pytest.mark.parametrize(("text", "message"), [("[1]", "holds a list"), ("a: b: c", "is not YAML")])
def test_a_file_that_is_no_mapping(tmp_path, text, message):
    path = tmp_path / "settings.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        parse_settings((Settings,), [str(path)])


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="nowhere.yaml does not exist"):
        parse_settings((Settings,), [str(tmp_path / "nowhere.yaml")])
