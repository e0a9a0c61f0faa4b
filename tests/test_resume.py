"""A run that was stopped, however, ends with the weights of one that was not: bit for bit."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from test_train import write_metadata_corpus

from paravox.recipes.burst2vec import train
from paravox.recipes.output_folder import last_whole_checkpoint

DEMO = Path(train.__file__).parent / "configs" / "tiny_demo.yaml"
# Workers, crops and dropout: what draws numbers while it trains.
RANDOM = ["--dataloader_num_workers", "2", "--max_seconds", "0.2", "--dropout", "0.2", "--use_cpu", "true"]
RANDOM += ["--per_device_train_batch_size", "4", "--lr_scheduler_type", "constant", "--logging_steps", "1"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_metadata_corpus(tmp_path_factory.mktemp("corpus"), yaml.safe_load(DEMO.read_text())["tasks"])


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


STEPS, SAVED_EVERY = 60, 2


def newest_checkpoint(folder: Path) -> int:
    """The number of the newest checkpoint, whole or not; 0 where there is none."""
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)


def start(argv: list[str]) -> multiprocessing.Process:
    # Forked, so that what takes seconds to import is there.
    process = multiprocessing.get_context("fork").Process(target=train.main, args=(argv,))
    process.start()
    return process


def test_killed_at_ten_moments_it_ends_with_the_unbroken_run_s_weights(corpus, tmp_path):
    settings = [str(DEMO), "--data_dir", str(corpus), *RANDOM, "--max_steps", str(STEPS), "--heads_first_epochs", "2"]
    settings += ["--save_strategy", "steps", "--save_steps", str(SAVED_EVERY), "--eval_strategy", "steps"]
    settings += ["--eval_steps", str(SAVED_EVERY), "--save_total_limit", "3", "--gradient_accumulation_steps", "2"]
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    started = time.monotonic()
    whole = start([*settings, "--output_dir", str(unbroken)])
    whole.join()
    assert whole.exitcode == 0
    pause = (time.monotonic() - started) * SAVED_EVERY / STEPS
    moments, kills = random.Random(0), []
    for kill in range(11):
        resumed = last_whole_checkpoint(broken) is not None
        how = ["--resume_from_checkpoint", "last"] if resumed else ["--overwrite_output_dir", "true"]
        seen = newest_checkpoint(broken)
        process = start([*settings, "--output_dir", str(broken), *how])
        if kill == 10:
            process.join()
            break
        # The first time while the heads learn alone, then from a new checkpoint on: also while one is written.
        there = (broken / "frozen_head").is_dir if kill == 0 else lambda seen=seen: newest_checkpoint(broken) > seen
        until = time.monotonic() + 60
        while process.is_alive() and not there() and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(1.5 * pause * moments.random())
        if process.is_alive():
            kills.append(newest_checkpoint(broken))
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert process.exitcode == 0
    # A machine that stalls may spoil some of the ten.
    assert len({step for step in kills if step < STEPS}) >= 5
    assert weights(broken / f"checkpoint-{STEPS}") == weights(unbroken / f"checkpoint-{STEPS}")
    assert weights(broken / "model") == weights(unbroken / "model")  # the best one
    assert (broken / "predictions" / "test.npz").read_bytes() == (unbroken / "predictions" / "test.npz").read_bytes()


def test_two_processes_go_on_in_mid_epoch(corpus, tmp_path):
    """With augmentation as well."""
    root = Path(train.__file__).resolve().parents[2]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(root / "recipes/burst2vec/train.py"), str(DEMO), "--data_dir", str(corpus), *RANDOM]
    command += [
        "--eval_strategy",
        "no",
        "--load_best_model_at_end",
        "false",
        "--save_strategy",
        "steps",
        "--save_steps",
        "2",
    ]
    command += ["--augmentation", '[{"transform": "AddGaussianNoise", "p": 0.9}]', "--per_device_train_batch_size", "2"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), *sys.path])),
    }

    def run(folder: str, *options: str) -> None:
        argv = [*command, "--output_dir", str(tmp_path / folder), *options]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr[-3000:]
        assert "batches an epoch for 2 processes" in done.stdout

    run("unbroken", "--max_steps", "8")
    run("broken", "--max_steps", "2")
    stopped = weights(tmp_path / "broken/model")
    run("broken", "--max_steps", "8", "--resume_from_checkpoint", "last")
    assert weights(tmp_path / "broken/model") == weights(tmp_path / "unbroken/model")
    assert weights(tmp_path / "broken/model") != stopped
