"""Every block of the documents is run on tiny data, or is listed here with the reason why it is not.

A shell block is read by bash, with stubs in the place of the programs, which write down how they were called. So loops,
variables and quotes mean what they mean to a reader. The calls then run in this process, with tiny encoders and corpora
in the places of FOLDER and the like, and for a step or two.
"""

import csv
import dataclasses
import fnmatch
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from documents import NAMES, ROOT
from little_corpora import write_clip, write_exvo_corpus, write_metadata_corpus

import paravox.cli
from paravox.corpora.metadata_csv import read_metadata_csv
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import parse_tasks
from paravox.runs import program

NOT_RUN = {
    "pip install *": "needs a package index; tests/slow/test_clean_environment.py installs the wheel",
    "make setup": "needs a package index",
    "make demo": "takes minutes; tests/recipes/ runs the programs that it starts",
    "make quality test": "is what runs this test",
    "python -m pytest *": "runs another test",
    "python benchmarks/timeline.py *": "needs real recordings; tests/benchmarks/test_timeline_benchmark.py runs it",
    "python -m venv *": "is for a new environment, which needs a package index",
    "pip freeze *": "is for a new environment, which needs a package index",
    "hf auth login": "needs the Hub",
    "nvidia-cuda-mps-control *": "needs an NVIDIA GPU",
    "python recipes/prefinetuning/few_shot.py *--trials_per_device *": "starts many processes or needs a cluster; "
    "tests/recipes/test_few_shot.py starts two processes, and two local nodes of Ray",
    "paravox publish *": "needs the Hub; tests/hub/test_hub.py publishes to a Hub on this machine",
    "paravox train *--push_to_hub *": "needs the Hub; tests/hub/test_hub.py publishes to a Hub on this machine",
}
if importlib.util.find_spec("onnx") is None:
    NOT_RUN["paravox export *"] = "needs the extra onnx"

# What is given to a program so that a step or two are enough.
TRAINING = "--max_steps 6 --eval_strategy steps --eval_steps 6 --save_strategy steps --save_steps 6 --use_cpu true"
# All clips of a task are in one batch, so an entry of the log after the first has a batch of each of three tasks.
TRAINING = f"{TRAINING} --per_device_train_batch_size 64 --logging_steps 3".split()
STUDY = "--corpora emodb turev --combinations none emodb+turev --speakers 0001 0011 --emotions angry happy"
STUDY = f"{STUDY} --shots 2 4 --repetitions 1 --max_epochs 2 --threads 1".split()
SMALL = {
    "burst2vec.train": TRAINING,
    "burst2vec.repeat": [*TRAINING, "--seeds", "1"],
    "burst2vec.table_2": TRAINING,
    "burst2vec.false_alarms": "--clips 40 30 --speakers 8 6 --repetitions 4 --draws 19".split(),
    "burst2vec.bias_study": "--seeds 4 --biases 0.9 --train 24 --validation 8 --test 8".split() + TRAINING,
    "prefinetuning.prefinetune": [*TRAINING, *"--corpora emodb turev --dataloader_num_workers 0".split()],
    "prefinetuning.few_shot": STUDY,
}
# The settings of the YAML files that do not fit an encoder of two layers, or make a run long.
SMALLER_SETTINGS = {"trainable_encoder_layers": "1", "heads_first_epochs": "2"}
STUBS = ("accelerate", "hf", "make", "nvidia-cuda-mps-control", "paravox", "pip", "python", "torchrun")
STUB = """#!/bin/bash
printf '%s\\0' "${0##*/}" "$@" >> "$CALLS"
printf '\\1\\0' >> "$CALLS"
"""


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a document."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks_of(document: str) -> list[Block]:
    text = (ROOT / document).read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(document, text[: match.start()].count("\n") + 1, match[1], match[2]) for match in found]


@pytest.fixture(scope="module")
def home(tmp_path_factory, tiny_encoders, saved_encoders, open_corpora, esd_folder):
    """A copy of the checkout's recipes, with tiny things in the places that the documents name."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "recipes", folder / "recipes", ignore=shutil.ignore_patterns("results", "__pycache__"))
    for kept in (ROOT / "recipes").glob("*/results/*_predictions"):
        shutil.copytree(kept, folder / kept.relative_to(ROOT))
    for directory in (folder / "stubs", folder / "renewed" / "bin"):
        directory.mkdir(parents=True)
        for name in STUBS:
            (directory / name).write_text(STUB)
            (directory / name).chmod(0o755)
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / ".venv" / "bin" / "activate").touch()
    for number, clip in enumerate(("laugh.wav", "recordings/1.wav", "runs/demo/corpus/audio/test_00000.wav")):
        write_clip(folder / clip, number)
    for number, clip in enumerate(
        ("new.wav", *(f"my_clips/{label}/{n}.wav" for n in "12" for label in ("content", "in pain")))
    ):
        write_clip(folder / clip, number)
    write_clip(folder / "talk.wav", 1)
    text = next(block.text for block in blocks_of("README.md") if block.language == "yaml")
    (folder / "mine.yaml").write_text(text)  # for the other documents that name it
    mine = yaml.safe_load(text)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Burst2VecConfig(encoder=tiny_encoders["whisper"].model.config, tasks=mine["tasks"])
        model = Burst2VecForMultiTask(config)
    for place in ("owner/name", "runs/demo/trained/model", "runs/mine/model"):
        model.save_pretrained(folder / place)
        Burst2VecFeatureExtractor.for_config(config.encoder).save_pretrained(folder / place)
    return SimpleNamespace(
        folder=folder,
        places={
            "openai/whisper-base": saved_encoders["whisper"],
            "facebook/hubert-base-ls960": saved_encoders["wav2vec2"],
            "ENCODER": saved_encoders["whisper"],
            "EXVO": write_exvo_corpus(folder / "exvo"),
            "EMODB": open_corpora / "emodb",
            "CORPORA": open_corpora,
            "NEMO": esd_folder,
            "SPEAKERS": esd_folder,
        },
        done=set(),
        counts={},
    )


def calls_of(block: Block, folder: Path) -> Iterator[list[str]]:
    """How a shell block calls programs, as bash reads it: a list of words per call."""
    record = folder / "calls"
    record.write_bytes(b"")
    environment = {"PATH": f"{folder / 'stubs'}:/usr/bin:/bin", "CALLS": str(record)}
    done = subprocess.run(
        ["bash", "-e", "-u", "-c", block.text], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{block}: {done.stderr}"
    call: list[str] = []
    for word in record.read_text().split("\0")[:-1]:
        if word == "\1":
            yield call
            call = []
        else:
            call.append(word)


def reason_not_to_run(call: list[str]) -> str | None:
    return next((reason for pattern, reason in NOT_RUN.items() if fnmatch.fnmatch(" ".join(call), pattern)), None)


def program_of(call: list[str]) -> tuple[str, list[str]]:
    """The module below paravox.recipes that a call starts, and its arguments."""
    if call[0] == "paravox":
        assert call[1] in paravox.cli.COMMANDS, call
        return paravox.cli.COMMANDS[call[1]][0], call[2:]
    script = next(position for position, word in enumerate(call) if word.endswith(".py"))
    launchers = (["accelerate", "launch"], ["torchrun", "--nproc_per_node"])
    assert call[:1] == ["python"] and script == 1 or call[:2] in launchers, call
    assert (ROOT / call[script]).is_file(), call
    return call[script].removeprefix("recipes/").removesuffix(".py").replace("/", "."), call[script + 1 :]


def fill_in(module: str, arguments: list[str], home: SimpleNamespace) -> list[str]:
    """The arguments with tiny things in the places that a reader fills in, and settings that make the run short."""
    settings: dict = {}
    some_rows: list[str] = []
    for word in arguments:
        if word.endswith(".yaml"):
            settings = yaml.safe_load(Path(word).read_text())
            if "rows" in settings:  # a suite
                rows = [row for row in settings["rows"] if "program" not in row][:3]
                some_rows = ["--rows", *(row["code"] for row in rows), "--seeds", "1", "2", "3"]
                settings = yaml.safe_load((Path(word).parent / rows[0]["settings"]).read_text())
        model = Path(word.rpartition("=")[2])  # it may be given as NAME=MODEL
        if (model / "config.json").is_file() and "tasks" not in settings:
            settings = json.loads((model / "config.json").read_text())
    filled = [str(home.places.get(word, word)) for word in arguments]
    if "FOLDER" in filled:
        filled = [corpus_for(settings["tasks"], home) if word == "FOLDER" else word for word in filled]
    if "--dry_run" in filled:
        return filled
    if "--from_predictions" in filled:  # which an earlier block may have written, of these rows only
        return filled + some_rows
    small = [*SMALL.get(module, ()), *some_rows]
    if module in ("burst2vec.train", "burst2vec.repeat", "burst2vec.table_2", "prefinetuning.prefinetune"):
        small += [part for key, value in SMALLER_SETTINGS.items() if key in settings for part in (f"--{key}", value)]
        if "encoder" in settings and "--encoder" not in filled and not Path(settings["encoder"]).is_dir():
            small += ["--encoder", str(home.places["facebook/hubert-base-ls960"])]
    return filled + small


def corpus_for(tasks: list[dict], home: SimpleNamespace) -> str:
    """The folder of a small corpus with a metadata.csv whose columns fit some tasks."""
    name = re.sub(r"\W+", "_", json.dumps([[task["name"], task["kind"]] for task in tasks]))
    corpus = home.folder / "corpora" / name
    if not corpus.is_dir():
        write_metadata_corpus(corpus, tasks)
        table = pd.read_csv(corpus / "metadata.csv", dtype=str)
        table["source"] = np.resize(["one", "another"], len(table))
        table.to_csv(corpus / "metadata.csv", index=False)
    return str(corpus)


def run_call(call: list[str], home: SimpleNamespace, capsys: pytest.CaptureFixture) -> None:
    module, arguments = program_of(call)
    arguments = fill_in(module, arguments, home)
    if (module, *arguments) in home.done:
        return
    main = importlib.import_module(f"paravox.recipes.{module}").main
    with pytest.raises(SystemExit) as end:
        program.run(main, arguments)
    assert end.value.code == 0, f"{' '.join(call)}: {end.value.code or capsys.readouterr().out[-2000:]}"
    for option, value in zip(arguments, arguments[1:], strict=False):
        if option in ("--output", "--output_dir", "--submission"):
            written = "--dry_run" not in arguments
            assert Path(value).exists() == written, f"{' '.join(call)} has {'not ' * written}written {value}"
    home.done.add((module, *arguments))


def run_shell_block(block: Block, home: SimpleNamespace, capsys: pytest.CaptureFixture) -> bool:
    """Runs what can be run; returns whether any of it was."""
    calls = [call for call in calls_of(block, home.folder) if reason_not_to_run(call) is None]
    for call in calls:
        run_call(call, home, capsys)
    return bool(calls)


def run_python_block(block: Block, home: SimpleNamespace) -> bool:
    text = re.sub(r"n_trials=\d+", "n_trials=2", block.text)
    for name, place in home.places.items():
        text = text.replace(f'"{name}"', repr(str(place)))
    if '"FOLDER"' in text:
        named = next(other for other in blocks_of(block.document) if other.language == "yaml" and "tasks" in other.text)
        text = text.replace('"FOLDER"', repr(corpus_for(yaml.safe_load(named.text)["tasks"], home)))
    exec(compile(text, str(block), "exec"), {"__name__": "block"})
    return True


def run_yaml_block(block: Block, home: SimpleNamespace, capsys: pytest.CaptureFixture) -> bool:
    """Trains with the settings of a block. A block that begins with a file name is left to the commands instead."""
    named = re.match(r"# (\w+\.yaml)\n", block.text)
    settings = yaml.safe_load(block.text)
    if "encoder" in settings:
        settings["encoder"] = str(home.places[settings["encoder"]])
    if named:
        Path(named[1]).write_text(yaml.safe_dump(settings))
        return True
    base = {
        "encoder": str(home.places["openai/whisper-base"]),
        "tasks": [{"name": "age", "kind": "scalar", "range": [18, 90]}],
    }
    file = f"block_{block.line}.yaml"
    Path(file).write_text(yaml.safe_dump(base | settings))
    run_call(
        ["paravox", "train", file, "--data_dir", "FOLDER", "--output_dir", f"runs/block_{block.line}"], home, capsys
    )
    return True


def run_csv_block(block: Block, home: SimpleNamespace) -> bool:
    """Reads a table of clips with the tasks of the next YAML block. Train gets clips of the classes that it lacks."""
    following = next(
        other for other in blocks_of(block.document) if other.line > block.line and other.language == "yaml"
    )
    tasks = parse_tasks(yaml.safe_load(following.text)["tasks"])
    header, *rows = csv.reader(block.text.splitlines())
    shown = [dict(zip(header, row, strict=True)) for row in rows]
    added = [
        shown[0] | {task.name: label, "file_name": f"audio/{label}.wav"}
        for task in tasks
        if task.kind == "classes"
        for label in task.labels
    ]
    for number, row in enumerate(shown + added):
        write_clip(Path("table") / row["file_name"], number)
    pd.DataFrame(shown + added).to_csv("table/metadata.csv", index=False)
    splits = read_metadata_csv("table", tasks)
    clips = {Path(clip["path"]).name: clip for split in splits.values() for clip in split}
    assert sorted(clips) == sorted(Path(row["file_name"]).name for row in shown + added)
    assert list(splits) == list(dict.fromkeys(row["split"] for row in shown))
    return True


@pytest.fixture
def in_one_process(monkeypatch):
    """Programs that other programs start run in this process, because imports take seconds."""

    def run(command: list[str]) -> SimpleNamespace:
        assert command[:2] == [sys.executable, "-m"]
        importlib.import_module(command[2]).main(command[3:])
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(program, "subprocess", SimpleNamespace(run=run))


# They train and compare several models, which takes a minute.
SLOW_DOCUMENTS = (
    "docs/training.md",
    "recipes/burst2vec/README.md",
    "recipes/burst2vec/results/README.md",
    "recipes/prefinetuning/README.md",
)


@pytest.mark.parametrize(
    "document", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW_DOCUMENTS else []) for name in NAMES]
)
def test_every_block_runs_or_is_listed(document, home, in_one_process, monkeypatch, capsys):
    monkeypatch.chdir(home.folder)
    run = {
        "bash": lambda block: run_shell_block(block, home, capsys),
        "python": lambda block: run_python_block(block, home),
        "yaml": lambda block: run_yaml_block(block, home, capsys),
        "csv": lambda block: run_csv_block(block, home),
    }
    blocks = [block for block in blocks_of(document) if block.language != "text"]
    unknown = [str(block) for block in blocks if block.language not in run]
    assert not unknown, f"give these blocks a language of {', '.join(run)} or text: {', '.join(unknown)}"
    home.counts[document] = [len(blocks), sum(run[block.language](block) for block in blocks)]
    named = [match[1] for block in blocks if (match := re.match(r"# (\w+\.yaml)\n", block.text))]
    used = {argument for call in home.done for argument in call}
    assert set(named) <= used, "a YAML file of the document is used by none of its commands"


def test_how_many_blocks_were_run(home, capsys):
    calls = [
        " ".join(call)
        for name in NAMES
        for block in blocks_of(name)
        if block.language == "bash"
        for call in calls_of(block, home.folder)
    ]
    unused = [pattern for pattern in NOT_RUN if not fnmatch.filter(calls, pattern)]
    assert not unused, f"no document has {', '.join(unused)}: remove it from NOT_RUN"
    listed = sum(any(fnmatch.fnmatch(call, pattern) for pattern in NOT_RUN) for call in calls)
    blocks, run = map(sum, zip(*home.counts.values(), strict=True)) if home.counts else (0, 0)
    with capsys.disabled():
        print(
            f"\n{run} of {blocks} blocks of {len(home.counts)} documents were run; of their {len(calls)} shell "
            f"commands, {listed} are listed as not run"
        )


@pytest.mark.slow
def test_the_first_command_on_own_clips_runs_in_a_shell(home, monkeypatch):
    command = Path(sys.executable).parent / "paravox"
    if not command.is_file():
        pytest.skip("the command paravox is not installed in this environment")
    monkeypatch.chdir(home.folder)
    shell = [block for block in blocks_of("README.md") if block.language == "bash" and "FOLDER" in block.text]
    line = shell[0].text.splitlines()[0]
    assert line.startswith("paravox describe mine.yaml")
    mine = next(block for block in blocks_of("README.md") if block.language == "yaml")
    Path("mine.yaml").write_text(mine.text)
    write_metadata_corpus(Path("FOLDER"), yaml.safe_load(mine.text)["tasks"])
    path = f"{command.parent}:{os.environ['PATH']}"
    done = subprocess.run(["bash", "-c", line], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in ("train", "amusement", "Venezuela"))


@pytest.mark.slow
def test_launch_lines_start_the_processes_that_they_name(home, monkeypatch):
    """On a machine without a GPU, some ways of `accelerate launch` start one process without a word."""
    monkeypatch.chdir(home.folder)
    (block,) = [block for block in blocks_of("docs/training.md") if "--nproc_per_node 2" in block.text]
    corpus = corpus_for([{"name": "age", "kind": "scalar", "range": [18, 90]}], home)
    small = {"encoder": str(home.places["openai/whisper-base"])}
    small["tasks"] = [{"name": "age", "kind": "scalar", "range": [18, 90]}]
    Path("small.yaml").write_text(yaml.safe_dump(small))
    lines = re.split(r"(?<!\\)\n", block.text.strip())
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    assert len(lines) == 2
    for line in lines:
        line = f"{line.replace('FOLDER', corpus)} {' '.join(TRAINING)} --overwrite true"
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True, cwd=home.folder)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "over 2 processes" in done.stdout, line
