"""A run that was stopped and resumed sees the same batches and ends with exactly the weights of an unbroken run."""

import json
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
from little_corpora import write_metadata_corpus

from paravox.recipes.burst2vec import train
from paravox.runs.training_checkpoints import last_whole_checkpoint

DEMO = Path(train.__file__).parent / "configs" / "tiny_demo.yaml"
# What draws numbers while it trains: dropout of everything, layers that are left out, SpecAugment, crops, noise.
ENCODER = {
    "model_type": "wav2vec2",
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "layerdrop": 0.3,
    "mask_time_prob": 0.2,
    "mask_time_length": 2,
}
SETTINGS = {
    "encoder_config": json.dumps(ENCODER),
    "layer_weights": "false",  # needs every layer
    "dropout": 0.2,
    "max_seconds": 0.2,
    "augmentation": '[{"transform": "AddGaussianNoise", "p": 0.9}]',
    "dataloader_num_workers": 2,
    "gradient_accumulation_steps": 2,
    "lr_scheduler_type": "constant",
    "eval_strategy": "steps",
    "save_strategy": "steps",
    "logging_steps": 1,
    "use_cpu": "true",
}
LAST = {"resume_from_checkpoint": "last"}


def recorded_run(settings: dict, record: str, stop: int | None = None) -> None:
    """Runs train.py and writes down each batch; kills itself at the last batch of a step, if asked."""
    # Workers as everywhere, not by way of the server that this process comes from.
    multiprocessing.set_start_method("fork", force=True)

    class RecordedTrainer(train.Burst2VecTrainer):
        def compute_loss(self, model, inputs, *arguments, **options):
            args, step = self.args, self.state.global_step
            if Path(args.output_dir).name != "frozen_head":
                sound = inputs["input_values"].double().sum().item()
                line = [args.world_size, step, inputs.get("task"), inputs["index"].tolist(), sound]
                with open(f"{record}.{args.process_index}", "a") as file:
                    file.write(json.dumps(line) + "\n")
                if step == stop and self.accelerator.sync_gradients:
                    os.kill(os.getpid(), signal.SIGKILL)
            return super().compute_loss(model, inputs, *arguments, **options)

        def _save_rng_state(self, output_dir):
            # The others are late, so that a checkpoint that does not wait for them is found out.
            time.sleep(0.2 * self.args.process_index)
            super()._save_rng_state(output_dir)
            assert len(list(Path(output_dir).glob("rng_state*"))) == self.args.world_size

    train.Burst2VecTrainer = RecordedTrainer
    train.main([str(DEMO), *(str(part) for key, value in settings.items() for part in (f"--{key}", value))])


class Runs:
    """Runs of train.py on a few clips, each in processes of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_metadata_corpus(folder / "data", yaml.safe_load(DEMO.read_text())["tasks"])
        root = str(Path(train.__file__).resolve().parents[2])
        self.path = os.pathsep.join(
            filter(None, [root, str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
        )
        # From one that has imported everything, which takes seconds, and done nothing else.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([Path(__file__).stem, "audiomentations"])

    def start(self, name: str, settings: dict, stop: int | None = None, record: str | None = None):
        """Starts a run of one process that writes to the folder of a name."""
        process = self.context.Process(target=recorded_run, args=self._arguments(name, settings, stop, record))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", self.path)
            process.start()
        return process

    def run(self, name: str, settings: dict, processes: int = 1, stop: int | None = None, record: str | None = None):
        """Runs until the end, or until it kills itself in the middle of a step; gives what each process recorded."""
        arguments = self._arguments(name, settings, stop, record)
        if processes == 1:
            process = self.start(name, settings, stop, record)
            process.join()
            assert process.exitcode == (0 if stop is None else -signal.SIGKILL)
        else:
            command = [
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--standalone",
                "--nproc_per_node",
                str(processes),
            ]
            command += [__file__, json.dumps(arguments)]
            environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": self.path}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
            assert (done.returncode == 0) == (stop is None) and "AssertionError" not in done.stderr, done.stderr[-3000:]
        files = [Path(f"{arguments[1]}.{rank}") for rank in range(processes)]
        return [[json.loads(line) for line in file.read_text().splitlines()] if file.exists() else [] for file in files]

    def _arguments(self, name: str, settings: dict, stop: int | None, record: str | None) -> tuple:
        settings = SETTINGS | {"data_dir": str(self.data), "output_dir": str(self.folder / name)} | settings
        return settings, str(self.folder / f"{record or name}.batches"), stop

    def weights(self, name: str) -> bytes:
        return (self.folder / name / "model" / "model.safetensors").read_bytes()

    def state(self, name: str) -> dict:
        return json.loads((self.folder / name / "trainer_state.json").read_text())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("runs"))


EVERY_2 = {"save_steps": 2, "eval_steps": 2, "load_best_model_at_end": "false"}
# Eight clips and three tasks. Which checkpoint the run goes on from, and how many steps an epoch has.
CASES = {
    # Nine batches: the fifth step of an epoch is of one alone.
    "one_process": (1, 6, 5, {"per_device_train_batch_size": 3, "max_steps": 12}),
    "two_processes": (2, 4, 3, {"per_device_train_batch_size": 2, "max_steps": 7}),
    "all_tasks": (1, 3, 2, {"per_device_train_batch_size": 2, "max_steps": 7, "task_batching": "all_tasks"}),
    # A process that starts anew starts the workers anew, the unbroken run does not.
    "persistent_workers": (1, 5, 5, {"per_device_train_batch_size": 3, "max_steps": 8}),
}
CASES["all_tasks"][3].update({"save_steps": 3, "eval_steps": 3})
CASES["persistent_workers"][3].update({"save_steps": 5, "eval_steps": 5, "dataloader_persistent_workers": "true"})


SLOW_CASES = ("two_processes", "all_tasks", "persistent_workers")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=[pytest.mark.slow] if case in SLOW_CASES else []) for case in CASES]
)
def test_a_killed_run_goes_on_with_the_same_batches_to_the_same_weights(runs, case):
    processes, saved, epoch, settings = CASES[case]
    settings = EVERY_2 | settings
    unbroken, broken = f"{case}_unbroken", f"{case}_broken"
    recorded = runs.run(unbroken, settings, processes)
    runs.run(broken, settings, processes, stop=saved + 1)
    assert Path(last_whole_checkpoint(runs.folder / broken)).name == f"checkpoint-{saved}"
    resumed = runs.run(broken, settings | LAST, processes, record=f"{case}_resumed")
    # Beyond the first epoch; in its middle, but for the one that shall be at its end.
    assert saved >= epoch and (saved % epoch > 0) == (case != "persistent_workers")
    for rank in range(processes):
        assert resumed[rank] == [line for line in recorded[rank] if line[1] >= saved]
        assert {line[0] for line in recorded[rank]} == {processes} and len(resumed[rank]) < len(recorded[rank])
    assert runs.weights(broken) == runs.weights(unbroken)
    assert measured(runs.state(broken)) == measured(runs.state(unbroken))


def measured(state: dict) -> list[dict]:
    """The losses and scores of all evaluations, which tell the weights at their steps."""
    evaluations = [entry for entry in state["log_history"] if "eval_loss" in entry]
    return [{name: entry[name] for name in entry if not name.endswith(("runtime", "second"))} for entry in evaluations]


def test_a_run_that_was_over_takes_no_further_step(runs):
    """As where it was killed while it scored the test clips; its last step is in mid-epoch."""
    settings = EVERY_2 | {"per_device_train_batch_size": 3, "max_steps": 2}
    runs.run("over", settings)
    weights = runs.weights("over")
    (runs.folder / "over" / "results.json").unlink()
    assert runs.run("over", settings | LAST, record="over_again") == [[]]
    assert runs.weights("over") == weights and runs.state("over")["global_step"] == 2
    assert (runs.folder / "over" / "results.json").is_file()


@pytest.mark.slow
def test_the_patience_that_is_left_survives(runs):
    # Nothing learns: the first evaluation is the best, and after three more that are not better it is over.
    settings = {"learning_rate": 0, "metric_for_best_model": "age_mae", "greater_is_better": "false"}
    settings |= {"eval_steps": 1, "save_steps": 1, "save_total_limit": 2, "early_stopping_patience": 3, "max_steps": 9}
    runs.run("patience_unbroken", settings)
    assert runs.state("patience_unbroken")["global_step"] == 4
    runs.run("patience", settings, stop=3)
    ((*_, last),) = runs.run("patience", settings | LAST, record="patience_resumed")
    assert last[1] == 3 and runs.state("patience")["global_step"] == 4
    assert runs.state("patience")["best_global_step"] == 1
    # Killed after it had stopped; and asked for more.
    assert runs.run("patience", settings | LAST, record="patience_over") == [[]]
    runs.run("patience", settings | LAST | {"early_stopping_patience": 5})
    assert runs.state("patience")["global_step"] == 6


STEPS, SAVED_EVERY = 62, 2


def newest_checkpoint(folder: Path) -> int:
    """The number of the newest checkpoint, whole or not; 0 where there is none."""
    return max((int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*")), default=0)


@pytest.mark.slow
def test_killed_at_ten_moments_it_ends_with_the_unbroken_run_s_weights(runs):
    settings = {"max_steps": STEPS, "save_steps": SAVED_EVERY, "eval_steps": SAVED_EVERY, "save_total_limit": 1}
    settings |= {"heads_first_epochs": 2, "per_device_train_batch_size": 4}
    unbroken, broken = runs.folder / "unbroken", runs.folder / "broken"
    started = time.monotonic()
    runs.run("unbroken", settings)
    pause = (time.monotonic() - started) * SAVED_EVERY / STEPS
    moments, kills = random.Random(0), []
    for kill in range(11):
        resumed = last_whole_checkpoint(broken) is not None
        how = LAST if resumed else {"overwrite": "true"}
        seen = newest_checkpoint(broken)
        process = runs.start("broken", settings | how)
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
            # The run alone: its workers outlive it for some seconds.
            process.kill()
        process.join()
    assert process.exitcode == 0
    # A machine that stalls may spoil some of the ten.
    assert len({step for step in kills if step < STEPS}) >= 5
    assert measured(runs.state("broken")) == measured(runs.state("unbroken"))
    assert runs.weights("broken") == runs.weights("unbroken")  # the best ones
    assert (broken / "predictions" / "test.npz").read_bytes() == (unbroken / "predictions" / "test.npz").read_bytes()


if __name__ == "__main__":
    # Started by torch.distributed.run, above.
    recorded_run(*json.loads(sys.argv[1]))
