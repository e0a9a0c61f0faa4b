"""Reads settings that were changed at random, by every program that takes a YAML file, up to the start of a run.

    python benchmarks/mutated_settings.py --count 2000 --seed 0

The settings are those of the YAML files that come with paravox, for a little corpus and a tiny encoder, in which one to
three things are changed: values of other types, extreme numbers, unknown and missing keys, nesting, fields that the
file did not have, odd text and tags of YAML. Some are given on the command line instead. The programs run until they
would train; what mutants.py says of outcomes holds.
"""

import contextlib
import copy
import csv
import dataclasses
import io
import itertools
import json
import logging
import os
import random
import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import soundfile
import transformers
import yaml
from mutants import Started, outcome_of, run_in_processes, run_program
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from paravox.runs.packaged_settings import packaged_settings
from paravox.runs.program_settings import SETTINGS
from paravox.trainers.functionals import Functionals

CHUNK = 100
ENCODER = {
    "model_type": "whisper",
    "d_model": 16,
    "encoder_layers": 4,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "vocab_size": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
    "max_source_positions": 100,
}
# Files in the mappings of which more is possible than they show.
EXTRAS: dict[str, Any] = {
    "encoder_config": ENCODER,
    "encoder_settings": {"dropout": 0.1},
    "lora": {"r": 2},
    "task_batch_sizes": {"age": 4},
    "augmentation": [{"transform": "Gain", "p": 0.5}],
    "corpus_options": {},
    "lr_scheduler_kwargs": {},
    "optim_args": "beta1=0.9",
    "card_corpora": [{"name": "bursts", "license": "mit"}],
    "gradient_checkpointing_kwargs": {"use_reentrant": False},
    "start_from": "nowhere",
    "only": ["k=2"],
    "languages": {"Polish": ["0021"]},
}
# Paths outside of the temporary folder are not tried, because a run writes to some of them.
SCALARS: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 3.5, -0.0, 1e-300, 1e308, 2**31, 2**63, 10**30, 10**9),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "no",
        "null",
        "nan",
        "1e-5",
        "-1",
        "true",
        "12abc",
        "[",
        "{}",
    ),
    *(
        "a\0b",
        "x" * 5_000,
        "größe",
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
        "a\nb",
        "%s {x}",
    ),
    *("classes", "scalar", "epoch", "steps", "{age: 16}", '{"age": 16}', "$HOME", "~", "../..", "last", "cuda:99"),
)


class Base(NamedTuple):
    """Settings that run as they are.

    Args:
        program (`str`): a module of `paravox.recipes`.
        values (`dict`): of the YAML file.
        options (list of `str`): of the command line.
    """

    program: str
    values: dict[str, Any]
    options: list[str]


def write_corpus(folder: Path, tasks: list[dict[str, Any]]) -> None:
    """A folder with metadata.csv of 16 clips, each with labels of all tasks."""
    header = ["file_name", "speaker", "split"]
    for task in tasks:
        header += task["labels"] if task["kind"] == "intensities" else [task["name"]]
    rows = []
    for number in range(16):
        name = f"{number}.wav"
        _write_clip(folder / name, number)
        row = [name, f"s{number}", ("train", "train", "dev", "test")[number // 4]]
        for task in tasks:
            if task["kind"] == "intensities":
                row += np.eye(len(task["labels"]))[number % len(task["labels"])].tolist()
            else:
                choices = task["labels"] if task["kind"] == "classes" else np.linspace(*task["range"], 4).tolist()
                row.append(choices[number % len(choices)])
        rows.append(row)
    with open(folder / "metadata.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def _write_clip(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(number).normal(scale=0.1, size=1_600), 16_000)


def write_open_corpora(folder: Path) -> None:
    """Little trees of the four corpora of pre-finetuning."""
    numbers = itertools.count()
    for speaker, take in itertools.product(range(1, 5), "ab"):
        for code in "WLEAFTN":
            _write_clip(folder / f"emodb/wav/{speaker:02}a01{code}{take}.wav", next(numbers))
        for emotion in ("01Neutral", "02Fearful", "03Happy", "04Sad", "05Angry"):
            name = f"{emotion[2].lower()}{emotion[1]}-01-0{'ab'.index(take) + 1}-02-{speaker:02}.wav"
            _write_clip(folder / "ased" / emotion / name, next(numbers))
        for emotion, code in (("Angry", "kz"), ("Calm", "sk"), ("Happy", "mt"), ("Sad", "hl")):
            _write_clip(folder / f"turev/Sound Source/{emotion}/115{speaker}_{code}_word{take}.wav", next(numbers))
        for code in range(1, 9):
            name = f"03-01-{code:02}-01-01-0{'ab'.index(take) + 1}-{speaker:02}.wav"
            _write_clip(folder / f"ravdess/Actor_{speaker:02}/{name}", next(numbers))


def make_bases(folder: Path) -> list[Base]:
    """The YAML files of paravox, for corpora and an encoder that are written into a folder."""
    encoder = folder / "encoder"
    config = WhisperConfig(**{name: value for name, value in ENCODER.items() if name != "model_type"})
    WhisperEncoder(config).save_pretrained(encoder)
    WhisperFeatureExtractor().save_pretrained(encoder)
    write_open_corpora(folder / "corpora")
    bases = []
    for name, path in packaged_settings().items():
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        shutil.copy(path, folder)  # the rows of a suite name their files by paths beside it
        places = ["--data_dir", str(folder / "corpora"), "--encoder", str(encoder)]
        if "rows" in values:
            # Its rows name other files, which are read as they are.
            options = ["--data_dir", str(folder), "--output_dir", name, "--output", f"{name}.json"]
            bases.append(Base("burst2vec.table_2", values, options))
        elif "speakers" in values:
            bases.append(Base("prefinetuning.few_shot", values, [*places, "--checkpoints_dir", "checkpoints"]))
        elif "corpora" in values:
            values |= {"corpora": ["emodb", "ased"], "report_to": "none", "output_dir": name}
            bases.append(Base("prefinetuning.prefinetune", values | {"split_by": "random", "use_cpu": True}, places))
        else:
            write_corpus(folder / name, values["tasks"])
            values |= {"corpus": "metadata_csv", "data_dir": str(folder / name), "use_cpu": True}
            values |= {"report_to": "none", "output_dir": name}
            values = {key: value for key, value in values.items() if key not in ("audio", "cache_dir")}
            program = "burst2vec.train_compare" if name.startswith("compare") else "burst2vec.train"
            if program == "burst2vec.train" and "encoder_config" not in values:
                values["encoder"] = str(encoder)
            bases.append(Base(program, values, []))
    return bases


def stop_where_runs_start(stack: contextlib.ExitStack) -> None:
    """Lets every program raise [`Started`] before its first step, or where it would encode clips or start another one.

    Args:
        stack (`contextlib.ExitStack`): until it is left.
    """

    def stop(*_: Any, **__: Any) -> None:
        raise Started

    def train(trainer: transformers.Trainer, *_: Any, **__: Any) -> None:
        trainer.get_train_dataloader()
        trainer.create_optimizer_and_scheduler(num_training_steps=10)
        raise Started

    modules = {name: import_module(f"paravox.recipes.{name}") for name in (*SETTINGS, "burst2vec.table_2")}
    train_module, compare = modules["burst2vec.train"], modules["burst2vec.train_compare"]
    replaced = [
        (transformers.Trainer, "train", train),
        (train_module, "encode_once", stop),
        (train_module.Burst2VecTrainer, "pool_clips", stop),
        (modules["prefinetuning.prefinetune"], "encode_corpora", stop),
        (modules["prefinetuning.few_shot"], "run_trials", stop),
        (modules["burst2vec.table_2"], "train_missing", stop),
        # Functionals take long, and openSMILE may not be installed.
        (compare, "open_smile", lambda: None),
        (compare, "extract_functionals", _drawn_functionals),
    ]
    for place, name, function in replaced:
        stack.enter_context(mock.patch.object(place, name, function))


def _drawn_functionals(dataset: Any, *_: Any) -> Any:
    values = np.random.default_rng(0).normal(size=(len(dataset), 6373))
    return dataset.with_source(Functionals(values.astype(np.float32)))


def weird_value(draw: random.Random, depth: int = 0) -> Any:
    """A value that a setting may not expect."""
    if depth < 3 and draw.random() < 0.25:
        items = [weird_value(draw, depth + 1) for _ in range(draw.randrange(4))]
        return items if draw.random() < 0.5 else {str(draw.choice(SCALARS)): item for item in items}
    return draw.choice(SCALARS)


def places_in(value: Any, path: tuple = ()) -> list[tuple]:
    """The paths of all values in nested settings."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in [(*path, key), *places_in(item, (*path, key))]]


def change(base: Base, draw: random.Random) -> tuple[dict[str, Any], list[str]]:
    """The settings of a YAML file and the options, with one thing changed."""
    values, options = copy.deepcopy(base.values), list(base.options)
    fields = [field.name for kind in SETTINGS.get(base.program, ()) for field in dataclasses.fields(kind)]
    way = draw.random()
    if way < 0.3 and fields:
        # A field that the file may not have.
        name = draw.choice(fields)
        if name in EXTRAS and draw.random() < 0.8:
            values[name] = copy.deepcopy(EXTRAS[name])
            inner = places_in(values[name])
            if inner:
                _put(values[name], draw.choice(inner), weird_value(draw))
        else:
            values[name] = weird_value(draw)
    elif way < 0.4:
        values[draw.choice(("encoder_config", *EXTRAS))] = weird_value(draw)
    elif way < 0.5 and fields:
        value = weird_value(draw)
        text = json.dumps(value) if isinstance(value, (dict, list)) or draw.random() < 0.3 else str(value)
        options += [f"--{draw.choice(fields)}", *([text] if draw.random() < 0.9 else [])]
    else:
        path = draw.choice(places_in(values))
        found = _at(values, path)
        choices: list[Callable[[], Any]] = [
            lambda: weird_value(draw),
            lambda: [found],
            lambda: {"x": found},
            lambda: str(found),
            lambda: found * 10**9 if isinstance(found, (int, float)) else [found] * 3,
            lambda: -found if isinstance(found, (int, float)) else f" {found} ",
        ]
        way = draw.random()
        if way < 0.15:
            del _at(values, path[:-1])[path[-1]]
        elif way < 0.3 and isinstance(path[-1], str):
            parent = _at(values, path[:-1])
            parent[draw.choice((path[-1][:-1], path[-1].upper(), f"{path[-1]}s", "", "x", "\0"))] = parent.pop(path[-1])
        else:
            _put(values, path, draw.choice(choices)())
    return values, options


def _at(values: Any, path: tuple) -> Any:
    for key in path:
        values = values[key]
    return values


def _put(values: Any, path: tuple, value: Any) -> None:
    _at(values, path[:-1])[path[-1]] = value


def rewrite(text: str, draw: random.Random) -> bytes:
    """The text of a YAML file, changed in a way that the settings do not know of."""
    lines = text.splitlines()
    row = draw.randrange(len(lines))
    key = lines[row].split(":")[0]
    tags = (
        '!!int "x"',
        "!!float x",
        "!!bool 1",
        "!!timestamp x",
        "!!binary ?",
        "!!null 3",
        "!!set {a, b}",
        "!!omap [a: 1]",
    )
    tags += ("!!python/object:os.system x", "!mine x", "2020-01-01", "2020-13-45", "0o17", "0x1F", "1_000", "1:30:00")
    tags += ("&a [*a]", "*nowhere", "|", ">-", "? x", "{<<: 3}", "[" * 2_000, "{a: " * 2_000, "'", '"\\x00"', "<<: *x")
    changes: list[Callable[[], bytes]] = [
        lambda: "\n".join([*lines[:row], f"{key}: {draw.choice(tags)}", *lines[row + 1 :]]).encode(),
        lambda: "\n".join([*lines[:row], f"{key}: {draw.choice(tags)}", *lines[row + 1 :]]).encode(),
        lambda: "\n".join([*lines[: row + 1], *lines[row:]]).encode(),
        lambda: "\n".join([*lines[:row], "\t" + lines[row], *lines[row + 1 :]]).encode(),
        lambda: "\n".join(
            [*lines[:row], draw.choice(("---", "...", "%YAML 9.9", "- x", "x", ": 3")), *lines[row:]]
        ).encode(),
        lambda: text.encode()[: draw.randrange(len(text))],
        lambda: _flip(text.encode(), draw),
        lambda: text.encode("utf-16"),
        lambda: b"\xef\xbb\xbf" + text.encode(),
        lambda: text.encode().replace(b"e", b"\0", 1),
        lambda: draw.choice(
            (b"", b"\n", b"# nothing", b"[]", b"null", b"3", b"a", b"\0", b"\xff\xfe", b"--- {}\n--- {}")
        ),
    ]
    return draw.choice(changes)()


def _flip(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :]


def mutate(base: Base, draw: random.Random) -> tuple[bytes, list[str]]:
    """The content of a changed YAML file, and the command line after it."""
    values, options = base.values, base.options
    textual = draw.random() < 0.2
    for _ in range(0 if textual else draw.choice((1, 1, 2, 3))):
        values, options = change(Base(base.program, values, options), draw)
        if not values:
            break
    text = yaml.safe_dump(values, allow_unicode=True, sort_keys=False)
    return (rewrite(text, draw) if textual else text.encode("utf-8", "surrogatepass")), options


def attempt(program: str, path: Path, options: list[str]) -> Callable[[], Any]:
    return lambda: import_module(f"paravox.recipes.{program}").main([str(path), *options])


def run_chunk(count: int, seed: int, first: int = 0) -> tuple[dict[str, Counter], list[str]]:
    """Tries some of the settings in this process; arguments and result as in mutants.py."""
    outcomes: dict[str, Counter] = {}
    faults = []
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        stack.callback(os.chdir, before)
        os.chdir(folder)
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        stack.callback(logging.disable, logging.NOTSET)
        bases = make_bases(Path(folder))
        stop_where_runs_start(stack)
        path = Path(folder, "settings.yaml")
        for base in {base.program: base for base in bases}.values():  # so that imports and buffers do not count
            path.write_text(yaml.safe_dump(base.values))
            outcome_of(attempt(base.program, path, base.options))
        for number in range(first, first + count):
            draw = random.Random(f"{seed} {number}")
            base = draw.choice(bases)
            content, options = mutate(base, draw)
            path.write_bytes(content)
            environment = dict(os.environ)
            outcome, reason = outcome_of(attempt(base.program, path, options))
            os.environ.clear()
            os.environ.update(environment)
            outcomes.setdefault(base.program, Counter())[outcome] += 1
            if outcome not in ("right", "our error"):
                faults.append(f"{number} {base.program}: {outcome}: {reason[:300]}")
    return outcomes, faults


def run(count: int, seed: int) -> dict[str, Any]:
    """Tries `count` settings in processes that may die; the result is as in mutants.py."""
    return run_in_processes(run_chunk, count, seed, CHUNK)


if __name__ == "__main__":
    run_program(run, 2_000, __doc__)
