"""What a person sees of a run, and the file that has everything that is logged."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState

from paravox.trainers.progress import LOG_FILE, ProgressLine, evaluation_line

METRICS = {
    "eval_loss": 0.43219,
    "eval_emotion_loss": 0.5,
    "eval_emotion_ccc": 0.5236,
    "eval_age_mae": 7.91,
    "eval_s_mtl": 0.4119,
    "eval_runtime": 3.0,
    "eval_samples_per_second": 10.0,
    "eval_steps_per_second": 2.0,
    "epoch": 2.0,
}


def test_the_line_of_an_evaluation():
    line = evaluation_line(METRICS, 2.0)
    assert line == "epoch 2.00: loss 0.432, emotion CCC 0.524, age MAE 7.910, S_MTL 0.412"


@pytest.fixture
def parts(tmp_path):
    args = SimpleNamespace(output_dir=str(tmp_path / "run"))
    state = TrainerState(max_steps=8, is_world_process_zero=True, epoch=0.5)
    return args, state, TrainerControl()


def log_entries(args):
    return [json.loads(line) for line in (Path(args.output_dir) / LOG_FILE).read_text().splitlines()]


def test_everything_that_is_logged_is_in_the_file_and_little_on_the_screen(parts, capsys):
    args, state, control = parts
    callback = ProgressLine()
    callback.on_train_begin(args, state, control)
    logs = {"loss": 1.25, "loss/age/joint": 0.5, "loss/age/shared": 0.25}
    state.global_step = 4
    callback.on_step_end(args, state, control)
    callback.on_log(args, state, control, logs=logs)
    callback.on_evaluate(args, state, control, metrics=METRICS)
    callback.on_train_end(args, state, control)
    assert log_entries(args) == [{"step": 4, **logs}]
    said = capsys.readouterr()
    assert said.out.splitlines() == [evaluation_line(METRICS, 0.5)]
    assert "epoch 0.50, loss 1.250" in said.err and "4/8" in said.err
    assert "loss/age" not in said.out + said.err


def test_a_run_that_goes_on_drops_what_was_logged_after_its_checkpoint(parts):
    args, state, control = parts
    callback = ProgressLine(show_bar=False)
    for step in (2, 4, 6):
        state.global_step = step
        callback.on_log(args, state, control, logs={"loss": float(step)})
    with open(Path(args.output_dir) / LOG_FILE, "a") as file:
        file.write('{"step": 7, "lo')  # killed while it was writing
    state.global_step = 4
    callback.on_train_begin(args, state, control)
    assert [entry["step"] for entry in log_entries(args)] == [2, 4]
    state.global_step = 0  # a run that starts anew in the same folder
    callback.on_train_begin(args, state, control)
    assert log_entries(args) == []


def test_other_processes_of_a_run_are_silent(parts, capsys):
    args, state, control = parts
    state.is_world_process_zero = False
    callback = ProgressLine()
    callback.on_train_begin(args, state, control)
    callback.on_log(args, state, control, logs={"loss": 1.0})
    callback.on_evaluate(args, state, control, metrics=METRICS)
    callback.on_train_end(args, state, control)
    assert capsys.readouterr() == ("", "") and not Path(args.output_dir).exists()
