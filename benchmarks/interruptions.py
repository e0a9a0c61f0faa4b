"""Stops programs at random moments, goes on as they say, and compares what they leave with a run that nobody stopped.

    python benchmarks/interruptions.py
    python benchmarks/interruptions.py --parts training --kills 2

Each part is a program on a tiny corpus. It gets SIGKILL and, as Ctrl-C sends it, SIGINT to all its processes. A
program that was stopped is started again, until one run comes to its end; then all starts over. What may not happen:
another result, a traceback, an interrupt that is not answered by the line that says how to go on, and a good clip that
is called bad. Counts are kept in benchmarks/interruptions.json, and docs/robustness.md has them as a table. The program
exits with 1 if something happened that may not. The same seed draws the same moments, but where a program is then
depends on the machine.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from environments import ROOT, write_table
from interruption_material import write_material

from paravox.corpora.audio_cache import AudioCache
from paravox.modeling.audio import load_audio
from paravox.runs import program
from paravox.runs.machine import machine_name

RESULTS = Path(__file__).with_name("interruptions.json")
PAGE = ROOT / "docs" / "robustness.md"
CONFIGS = ROOT / "recipes"
SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT}
FAULTS = ("other result", "traceback", "no line", "good clip called bad")
# What no program says of clips that are good.
NONE_BAD = ", 0 of them cannot be used"
BAD = ("cannot be used", "truncated", "is damaged", "are damaged", "left out", "cut off")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="which programs to stop")
    parser.add_argument("--kills", type=int, help="how often each, with each signal (default: 40 over all programs)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args(argv)
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    with tempfile.TemporaryDirectory() as folder:
        write_material(Path(folder))
        for part in arguments.parts:
            started = time.perf_counter()
            kills = arguments.kills or PARTS[part].kills
            counts = Stops(PARTS[part], Path(folder)).run(kills, arguments.seed)
            results[part] = {
                "kills": kills,
                "seed": arguments.seed,
                "minutes": round((time.perf_counter() - started) / 60, 1),
                "machine": machine_name("cpu"),
                "outcomes": counts,
            }
            print(f"{part}: {json.dumps(counts)}", flush=True)
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            write_table("interruptions", interruptions_table(results), PAGE)
    if found := forbidden({part: results[part] for part in arguments.parts}):
        sys.exit(f"outcomes that must not happen: {json.dumps(found)}")


def forbidden(results: dict[str, Any]) -> dict[str, int]:
    """Outcomes that must not happen, by part and name, where there are some."""
    counts = {f"{part}: {fault}": found["outcomes"][fault] for part, found in results.items() for fault in FAULTS}
    return {name: count for name, count in counts.items() if count}


def interruptions_table(results: dict[str, Any]) -> list[list[str]]:
    """The results as cells of a table: one line per part."""
    names = [*SIGNALS, "same result", *FAULTS]
    return [
        ["program", *names],
        *([part, *(str(row["outcomes"][name]) for name in names)] for part, row in results.items()),
    ]


@dataclass(frozen=True)
class Part:
    """A program that is stopped.

    Args:
        module (`str`): of `paravox.recipes`.
        arguments (`Callable`): from the folder with the material and the output folder to a command line.
        outcome (`Callable`): what the program has left in the output folder, to be compared.
        kills (`int`): how often it is stopped with each signal.
        resume (tuple of `str`, *optional*): what is added to the command after the program was stopped.
    """

    module: str
    arguments: Callable[[Path, Path], list[str]]
    outcome: Callable[[Path], Any]
    kills: int
    resume: tuple[str, ...] = ()


class Stops:
    """Starts a program, and stops it.

    Args:
        part ([`Part`]): which program.
        folder (`Path`): with the material.
    """

    def __init__(self, part: Part, folder: Path) -> None:
        self.part = part
        self.folder = folder
        self.output = folder / "output"
        self.log = folder / "log.txt"
        # From a process that has imported everything, which takes seconds, and done nothing else.
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(["interruptions", "paravox.recipes.burst2vec.train", "audiomentations"])
        self.counts: Counter[str] = Counter()

    def run(self, kills: int, seed: int) -> dict[str, int]:
        """Stops the program so many times with each signal; returns the counts by outcome."""
        moments = random.Random(seed)
        self._start_over()
        self._run_to_end()  # the first one warms up
        self._start_over()
        started = time.monotonic()
        self._run_to_end()
        seconds = time.monotonic() - started
        expected = self.part.outcome(self.output)
        wanted = [name for name in SIGNALS for _ in range(kills)]
        moments.shuffle(wanted)
        self._start_over()
        stopped = False
        while wanted:
            if self._stop(wanted[-1], seconds * moments.random(), stopped):
                stopped = True
                wanted.pop()
            else:
                self._compare(expected)
                stopped = False
        if stopped:
            self._run_to_end(stopped)
            self._compare(expected)
        return {name: self.counts[name] for name in (*SIGNALS, "same result", *FAULTS)}

    def _start_over(self) -> None:
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.mkdir()

    def _start(self, stopped: bool) -> Any:
        for file in (self.log, self._ready, self._ended):
            file.unlink(missing_ok=True)
        arguments = self.part.arguments(self.folder, self.output) + (list(self.part.resume) if stopped else [])
        process = self.context.Process(
            target=run_program, args=(self.part.module, arguments, self.log, self._ready, self._ended)
        )
        process.start()
        while not self._ready.exists() and process.is_alive():
            time.sleep(0.002)
        return process

    def _run_to_end(self, stopped: bool = False) -> None:
        process = self._start(stopped)
        process.join()
        self._read_log()
        if process.exitcode:
            raise RuntimeError(f"the program failed where nobody stopped it: {self.log.read_text()[-2000:]}")

    def _stop(self, name: str, after: float, stopped: bool) -> bool:
        """Runs the program, stops it after so many seconds, and returns whether it came to that."""
        process = self._start(stopped)
        process.join(after)
        sent = time.time()
        if process.is_alive():
            os.killpg(process.pid, SIGNALS[name])
        process.join()
        self._read_log()
        if (
            self._ended.exists()
            and float(self._ended.read_text()) < sent
            or process.exitcode == 0
            and name == "SIGKILL"
        ):
            return False
        self.counts[name] += 1
        if name == "SIGINT":
            text = self.log.read_text()
            if process.exitcode != program.INTERRUPTED or "Stopped. To go on, " not in text:
                self.counts["no line"] += 1
                print(f"no line, exit code {process.exitcode}: {text[-2000:]}", file=sys.stderr)
            if process.exitcode == 0:  # the interrupt was lost
                self.counts[name] -= 1
                return False
        elif process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the program failed by itself: {self.log.read_text()[-2000:]}")
        return True

    def _compare(self, expected: Any) -> None:
        same = equal(self.part.outcome(self.output), expected)
        self.counts["same result" if same else "other result"] += 1
        if not same:
            print(f"other result: {self.part.outcome(self.output)} instead of {expected}", file=sys.stderr)
        self._start_over()

    def _read_log(self) -> None:
        text = self.log.read_text().replace(NONE_BAD, "") if self.log.exists() else ""
        for fault, words in (("traceback", ("Traceback", "Exception ignored")), ("good clip called bad", BAD)):
            if any(word in text for word in words):
                self.counts[fault] += 1
                print(f"{fault}: {text[-3000:]}", file=sys.stderr)

    @property
    def _ready(self) -> Path:
        return self.folder / "ready"

    @property
    def _ended(self) -> Path:
        return self.folder / "ended"


def run_program(module: str, arguments: list[str], log: Path, ready: Path, ended: Path) -> None:
    """Runs a program in this process as a shell would, in a group of processes of its own."""
    os.setpgid(0, 0)
    # A shell that starts a program in the background has it ignore SIGINT.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Workers as everywhere, not by way of the server that this process comes from.
    multiprocessing.set_start_method("fork", force=True)
    recipe = importlib.import_module(f"paravox.recipes.{module}")

    def main(argv: list[str]) -> None:
        ready.touch()
        recipe.main(argv)
        ended.write_text(repr(time.time()))

    program.run(main, arguments, go_on=getattr(recipe, "GO_ON", program.START_AGAIN))


def equal(found: Any, expected: Any) -> bool:
    """Whether two outcomes are the same. Only predictions may differ in their last bits, with the batches."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(equal(found[name], expected[name]) for name in expected)
    if isinstance(expected, list):
        return len(found) == len(expected) and all(map(equal, found, expected))
    return bool(np.isclose(found, expected, rtol=1e-5, atol=1e-6)) if isinstance(expected, float) else found == expected


def training_outcome(folder: Path) -> dict[str, Any]:
    """The bytes of the weights and of the predictions on Test, and the scores."""
    results = json.loads((folder / "run" / "results.json").read_text())
    return {
        "weights": (folder / "run" / "model" / "model.safetensors").read_bytes(),
        "predictions": (folder / "run" / "predictions" / "test.npz").read_bytes(),
        "scores": {name: value for name, value in results.items() if name not in ("seconds", "machine")},
    }


def cache_outcome(folder: Path) -> dict[str, Any]:
    """As for training; and every clip of the cache is as it is decoded."""
    cache = AudioCache(folder / "cache")
    clips = sorted((folder.parent / "bursts" / "audio").iterdir())
    decoded = [bool(np.array_equal(cache.load(clip), load_audio(clip))) for clip in clips]
    return training_outcome(folder) | {"decoded": decoded}


def prefinetuning_outcome(folder: Path) -> dict[str, Any]:
    """The bytes of the weights of each combination, and its scores."""
    found: dict[str, Any] = json.loads((folder / "run" / "results.json").read_text())
    for name, results in found.items():
        results.pop("seconds")
        found[name] = results | {"weights": (folder / "run" / name / "model" / "model.safetensors").read_bytes()}
    return found


def study_outcome(folder: Path) -> list[list[Any]]:
    """The rows of the trials, without their time."""
    names = "checkpoint, speaker, emotion, k, repetition, status, macro_f1, best_epoch, epochs, predictions"
    with sqlite3.connect(folder / "run" / "results.sqlite") as connection:
        return [list(row) for row in connection.execute(f"SELECT {names} FROM trials ORDER BY 1, 2, 3, 4, 5")]


def predict_outcome(folder: Path) -> list[dict[str, Any]]:
    """The records."""
    records = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    return [record | {"file": Path(record["file"]).name} for record in records]


def training_arguments(material: Path, output: Path) -> list[str]:
    options = {
        "data_dir": material / "bursts",
        "output_dir": output / "run",
        "max_steps": 12,
        "save_steps": 3,
        "eval_steps": 3,
        "save_strategy": "steps",
        "eval_strategy": "steps",
        "per_device_train_batch_size": 4,
        "heads_first_epochs": 2,
        "dataloader_num_workers": 1,
        "skip_bad": "true",
        "use_cpu": "true",
    }
    return [str(CONFIGS / "burst2vec" / "configs" / "tiny_demo.yaml"), *as_options(options)]


def cache_arguments(material: Path, output: Path) -> list[str]:
    caches = {
        "cache_dir": output / "cache",
        "trainable_encoder_layers": 1,
        "cache_lower_layers": "true",
        "heads_first_epochs": 0,
        "check_clips": "true",
        "max_steps": 4,
        "layer_weights": "false",
    }
    return training_arguments(material, output) + as_options(caches)


def prefinetuning_arguments(material: Path, output: Path) -> list[str]:
    options = {
        "data_dir": material / "emotions",
        "encoder": material / "encoder",
        "output_dir": output / "run",
        "trainable_encoder_layers": 1,
        "max_steps": 6,
        "save_steps": 2,
        "eval_steps": 2,
        "save_strategy": "steps",
        "eval_strategy": "steps",
        "per_device_train_batch_size": 4,
        "dataloader_num_workers": 0,
        "use_cpu": "true",
    }
    yaml = CONFIGS / "prefinetuning" / "configs" / "open_corpora.yaml"
    return [str(yaml), "--corpora", "turev", "emodb", "--power_set", *as_options(options)]


def study_arguments(material: Path, output: Path) -> list[str]:
    options = {
        "data_dir": material / "esd",
        "encoder": material / "encoder",
        "output_dir": output / "run",
        "repetitions": 2,
        "mode": "full",
        "max_epochs": 4,
        "learning_rate": 0.003,
        "threads": 1,
    }
    grid = ["--corpora", "emodb", "--speakers", "0001", "0011", "--emotions", "angry", "happy", "--shots", "2", "4"]
    return [*grid, "--only", "checkpoint=none", *as_options(options)]


def predict_arguments(material: Path, output: Path) -> list[str]:
    clips = [str(material / "emotions"), str(material / "bursts")] * 4
    return [
        *clips,
        "--model",
        str(material / "model"),
        "--output",
        str(output / "predictions.jsonl"),
        "--batch_seconds",
        "1",
    ]


def as_options(options: dict[str, Any]) -> list[str]:
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


LAST = ("--resume_from_checkpoint", "last")
PARTS = {
    "training": Part("burst2vec.train", training_arguments, training_outcome, 6, LAST),
    "pre-finetuning": Part("prefinetuning.prefinetune", prefinetuning_arguments, prefinetuning_outcome, 8),
    "study": Part("prefinetuning.few_shot", study_arguments, study_outcome, 10),
    "predict": Part("burst2vec.predict", predict_arguments, predict_outcome, 10),
    "cache": Part("burst2vec.train", cache_arguments, cache_outcome, 6, LAST),
}


if __name__ == "__main__":
    main()
