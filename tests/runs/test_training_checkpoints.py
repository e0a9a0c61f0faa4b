"""A run goes on from its newest whole checkpoint: damaged ones are passed over with a line."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from little_runs import write_checkpoint
from safetensors.torch import save_file
from transformers import TrainingArguments

from paravox.modeling.errors import CheckpointError
from paravox.runs.training_checkpoints import find_checkpoint, last_whole_checkpoint

PARTS = ("model.safetensors", "config.json", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")


def arguments(asked, folder="run"):
    return TrainingArguments(output_dir=folder, resume_from_checkpoint=asked, report_to=[], use_cpu=True)


@pytest.fixture
def checkpoints():
    """Three whole checkpoints, whose order by number is not that by name."""
    Path("run").mkdir()
    Path("run/.lock").touch()
    return {step: write_checkpoint(Path(f"run/checkpoint-{step}")) for step in (8, 9, 10)}


def cut(file):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


DAMAGES = {
    "empty": lambda file: file.write_bytes(b""),
    "cut": cut,
    "of zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_damaged_checkpoint_is_passed_over_with_a_line(checkpoints, part, damage, capsys):
    assert find_checkpoint(arguments("last")) == "run/checkpoint-10"
    assert capsys.readouterr().err == ""
    DAMAGES[damage](checkpoints[10] / part)
    (checkpoints[9] / "optimizer.pt").unlink()
    assert find_checkpoint(arguments("last")) == "run/checkpoint-8"
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"run/checkpoint-10 is passed over, because its {part} is cut or damaged"
    assert lines[1].startswith("run/checkpoint-9 is passed over, because it has no optimizer*") and len(lines) == 2


@pytest.mark.parametrize("part", PARTS[:1] + PARTS[2:])
def test_a_checkpoint_that_was_cut_off_is_not_whole(checkpoints, part):
    (checkpoints[10] / part).unlink()
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-9"
    assert last_whole_checkpoint(Path("nowhere")) is None


def test_a_flipped_bit_in_the_optimizer_is_found(checkpoints):
    content = bytearray((checkpoints[10] / "optimizer.pt").read_bytes())
    content[len(content) // 2] ^= 1
    (checkpoints[10] / "optimizer.pt").write_bytes(content)
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-9"


def test_all_shards_and_the_state_of_each_process_are_looked_at(checkpoints):
    newest = checkpoints[10]
    (newest / "model.safetensors").rename(newest / "model-00001-of-00002.safetensors")
    save_file({"bias": torch.zeros(3)}, newest / "model-00002-of-00002.safetensors")
    shards = {"weight": "model-00001-of-00002.safetensors", "bias": "model-00002-of-00002.safetensors"}
    (newest / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    shutil.move(newest / "rng_state.pth", newest / "rng_state_0.pth")
    shutil.copy(newest / "rng_state_0.pth", newest / "rng_state_1.pth")
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-10"
    cut(newest / "rng_state_1.pth")
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-9"
    shutil.copy(newest / "rng_state_0.pth", newest / "rng_state_1.pth")
    (newest / "model-00002-of-00002.safetensors").unlink()
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-9"


def test_the_best_weights_that_it_would_end_with_are_looked_at_too(checkpoints, capsys):
    shutil.rmtree(checkpoints[10])
    # As in a folder that was moved: only the name counts.
    write_checkpoint(checkpoints[10], best_model_checkpoint="/elsewhere/run/checkpoint-9")
    assert last_whole_checkpoint(Path("run")) == "run/checkpoint-10"
    cut(checkpoints[9] / "model.safetensors")
    assert last_whole_checkpoint(Path("run"), say=True) == "run/checkpoint-8"
    assert "model.safetensors of the best checkpoint so far, checkpoint-9, is cut" in capsys.readouterr().err


def test_a_run_that_was_stopped_in_its_first_save_begins_anew(checkpoints, capsys):
    for checkpoint in checkpoints.values():
        (checkpoint / "trainer_state.json").unlink()
    assert find_checkpoint(arguments("last")) is None
    assert capsys.readouterr().err.splitlines()[-1].endswith("that was saved to its end: the run begins anew")
    shutil.rmtree("run")
    Path("run").mkdir()
    with pytest.raises(CheckpointError, match="there is no checkpoint of the Trainer in run: check the folder"):
        find_checkpoint(arguments("last"))
    # Every run leaves this file before it saves anything.
    Path("run/.lock").touch()
    assert find_checkpoint(arguments("last")) is None


def test_checkpoints_that_are_all_damaged_are_not_removed(checkpoints):
    for checkpoint in checkpoints.values():
        cut(checkpoint / "model.safetensors")
    message = (
        "none of the 3 checkpoints in run is whole (checkpoint-10: its model.safetensors is cut or damaged): start"
    )
    with pytest.raises(CheckpointError, match=re.escape(message)):
        find_checkpoint(arguments("last"))


def test_a_damaged_checkpoint_that_is_named_is_refused(checkpoints):
    assert find_checkpoint(arguments("run/checkpoint-9")) == "run/checkpoint-9"
    (checkpoints[9] / "optimizer.pt").unlink()  # left out by save_only_model
    assert find_checkpoint(arguments("run/checkpoint-9")) == "run/checkpoint-9"
    cut(checkpoints[9] / "model.safetensors")
    with pytest.raises(CheckpointError, match="cannot be used, because its model.safetensors is cut or damaged: give"):
        find_checkpoint(arguments("run/checkpoint-9"))
    with pytest.raises(CheckpointError, match="there is no checkpoint of the Trainer in run: check"):
        find_checkpoint(arguments("run"))
