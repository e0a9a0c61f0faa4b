"""Trains the rows of a suite: every row with every seed, each run a process of its own, and perhaps several at once."""

import json
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from paravox.corpora.class_weights import without_balanced_weights
from paravox.corpora.registry import load_corpus
from paravox.evaluation.finished_run import FinishedRun, is_finished
from paravox.evaluation.table_2_suite import Suite, SuiteRow, file_name, row_facts
from paravox.modeling.errors import ConfigError, ParavoxError
from paravox.modeling.tasks import parse_tasks
from paravox.runs.program_settings import SETTINGS
from paravox.runs.settings import parse_settings, read_yaml
from paravox.runs.training_checkpoints import last_whole_checkpoint
from paravox.runs.training_defaults import training_defaults
from paravox.runs.training_runs import train_once

LOG = "output.txt"


@dataclass(frozen=True)
class SuiteRun:
    """One row with one seed.

    Args:
        code (`str`): of the row.
        seed (`int`).
        folder (`Path`): the `output_dir` of the run.
        program (`str`): a module of `paravox.recipes`.
        settings (tuple of `str`): the rest of its command line, a YAML file first.
    """

    code: str
    seed: int
    folder: Path
    program: str
    settings: tuple[str, ...]

    @property
    def state(self) -> str:
        """Whether the run is finished, was stopped, or is still to start."""
        if is_finished(self.folder):
            return "finished"
        return "stopped" if last_whole_checkpoint(self.folder) is not None else "not started"


def plan_runs(
    suite: Suite, seeds: Sequence[int], output_dir: Path, data_dir: str, options: Sequence[str]
) -> list[SuiteRun]:
    """All runs of a suite, one seed after the other, so that a suite that is stopped has complete seeds.

    Args:
        suite ([`Suite`]).
        seeds (sequence of `int`): each row is trained with each of them.
        output_dir (`Path`): gets a folder for each run, such as `V1_1`.
        data_dir (`str`): the folder of the corpus.
        options (sequence of `str`): from the command line. They replace those of the suite and of its rows. An option
            that only another program of the suite has is left out.
    """
    runs = []
    for seed in seeds:
        for row in suite.rows:
            chosen = as_options(_options_of(suite, row)) + _known_options(suite, row, options)
            settings = (str(row.settings), *chosen, "--data_dir", data_dir, "--seed", str(seed))
            folder = output_dir / f"{file_name(row.code)}_{seed}"
            runs.append(SuiteRun(row.code, seed, folder, _module(row), settings))
    return runs


def facts_of_rows(suite: Suite, options: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the table says of each row beside its scores, by code; see [`row_facts`]."""
    facts = {}
    for row in suite.rows:
        given = {}
        for name, *values in _grouped(_known_options(suite, row, options)):
            given[_key(name)] = yaml.safe_load(" ".join(values) or "true")
        facts[row.code] = row_facts(row, read_yaml(row.settings) | _options_of(suite, row) | given)
    return facts


def check_runs(runs: Iterable[SuiteRun], read_corpora: bool) -> list[str]:
    """Checks the settings of all runs as their programs do, before any of them starts.

    Args:
        runs (iterable of [`SuiteRun`]).
        read_corpora (`bool`): also read the labels of each corpus, and find its recordings.

    Returns:
        list of `str`: what each corpus holds, if they were read.

    Raises:
        ParavoxError: the first error that a run would end with. It names the run.
    """
    found: dict[str, str] = {}
    for run in runs:
        try:
            settings = _parsed(run)
            asked = {name: settings.get(name) for name in ("corpus", "data_dir", "audio", "corpus_options", "tasks")}
            key = json.dumps(asked)
            if read_corpora and key not in found:
                found[key] = _read_corpus(asked)
        except ParavoxError as error:
            raise type(error)(f"{run.code} with seed {run.seed}: {error}") from None
    return list(found.values())


def train_missing(runs: Sequence[SuiteRun], jobs: int = 1, overwrite: bool = False) -> dict[SuiteRun, str]:
    """Starts all runs that are not finished. A run that fails does not keep the others from running.

    Args:
        runs (sequence of [`SuiteRun`]).
        jobs (`int`, *optional*, defaults to 1): how many processes run at once. With more than one, what a run prints
            goes to `output.txt` in its folder.
        overwrite (`bool`, *optional*, defaults to `False`): repeat finished runs.

    Returns:
        `dict`: by run that failed, where its own message stands.
    """
    failed: dict[SuiteRun, str] = {}
    with ThreadPoolExecutor(jobs) as threads:
        started = {threads.submit(_train, run, jobs, overwrite): run for run in runs}
        try:
            for done, future in enumerate(as_completed(started), start=1):
                run, error = started[future], future.exception()
                if error is not None:
                    failed[run] = _reason(run, error, jobs)
                state = "has failed" if error else "is finished"
                print(f"{done} of {len(runs)} runs: {run.code} with seed {run.seed} {state}", flush=True)
        except BaseException:
            # After Ctrl-C, which the processes have received too, no other run may start.
            threads.shutdown(wait=False, cancel_futures=True)
            raise
    return failed


def command_line(run: SuiteRun) -> str:
    """How to start a run by hand."""
    program = ["python", "-m", f"paravox.recipes.{run.program}"]
    return shlex.join([*program, *run.settings, "--output_dir", str(run.folder)])


def as_options(settings: dict[str, Any]) -> list[str]:
    """Settings of a YAML file as options of the command line.

    Raises:
        ConfigError: if a setting has no value, which no option can express.
    """
    options = []
    for name, value in settings.items():
        if value is None:
            raise ConfigError(f"option {name} has no value: give one, or leave it out")
        if isinstance(value, bool):
            values = [str(value).lower()]
        elif isinstance(value, dict) or isinstance(value, list) and any(isinstance(item, dict) for item in value):
            values = [json.dumps(value)]
        else:
            values = [str(item) for item in value] if isinstance(value, list) else [str(value)]
        options += [f"--{name}", *values]
    return options


def _train(run: SuiteRun, jobs: int, overwrite: bool) -> FinishedRun:
    log = run.folder / LOG if jobs > 1 else None
    return train_once(run.folder, run.settings, overwrite, run.program, log)


def _reason(run: SuiteRun, error: BaseException, jobs: int) -> str:
    if not isinstance(error, (SystemExit, ParavoxError)):
        raise error
    if isinstance(error, ParavoxError):
        return str(error)
    return f"see {run.folder / LOG}" if jobs > 1 else "its message is above"


def _module(row: SuiteRow) -> str:
    return f"burst2vec.{row.program}"


def _options_of(suite: Suite, row: SuiteRow) -> dict[str, Any]:
    """The suite's options, as far as the program of the row has them, and the row's own."""
    kept = _known_options(suite, row, [f"--{name}" for name in suite.options])
    return {name: value for name, value in suite.options.items() if f"--{name}" in kept} | row.options


def _known_options(suite: Suite, row: SuiteRow, options: Sequence[str]) -> list[str]:
    """The options without those that only another program of the suite has."""
    programs = {_module(other) for other in suite.rows}
    own = _names(_module(row))
    others = set().union(*(_names(program) for program in programs)) - own if len(programs) > 1 else set()
    return [part for group in _grouped(options) if _key(group[0]) not in others for part in group]


def _names(program: str) -> set[str]:
    return {field.name for settings in SETTINGS[program] for field in fields(settings)}


def _grouped(options: Sequence[str]) -> list[list[str]]:
    """Every option with its values; `--name=value` becomes two parts."""
    groups: list[list[str]] = []
    for part in options:
        if part.startswith("--"):
            name, equals, value = part.partition("=")
            groups.append([name, value] if equals else [name])
        elif groups:
            groups[-1].append(part)
        else:
            raise ConfigError(f"{part!r} is no option: options start with --")
    return groups


def _key(option: str) -> str:
    return option.lstrip("-").replace("-", "_")


def _parsed(run: SuiteRun) -> dict[str, Any]:
    """The settings of a run, checked as its program does."""
    names = _names(run.program)
    settings = [*run.settings, "--output_dir", str(run.folder)]
    # Settings are often checked on another machine than the one with the accelerator.
    settings += ["--use_cpu", "true"] if "use_cpu" in names else []
    defaults = training_defaults if "eval_strategy" in names else None
    parsed = parse_settings(SETTINGS[run.program], settings, "", defaults)
    return {name: value for part in parsed for name, value in vars(part).items()}


def _read_corpus(asked: dict[str, Any]) -> str:
    tasks = parse_tasks(without_balanced_weights(asked["tasks"]))
    options = asked["corpus_options"] or {}
    splits = load_corpus(asked["corpus"], asked["data_dir"], tasks, asked["audio"] or "provided", **options)
    clips = ", ".join(f"{len(split):,} {name}" for name, split in splits.items())
    audio = f" with {asked['audio']} audio" if asked["corpus"] == "exvo" else ""
    return f"{asked['corpus']} in {asked['data_dir']}{audio}: {clips} clips"
