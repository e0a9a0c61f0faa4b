"""The few-shot study: adapt every checkpoint to every speaker from k clips, and store each trial.

    python recipes/prefinetuning/few_shot.py --config recipes/prefinetuning/configs/paper_few_shot.yaml --dry_run
    python recipes/prefinetuning/few_shot.py --config CONFIG.yaml --data_dir ESD --encoder ENCODER --checkpoints_dir runs/pre_finetuning
    python recipes/prefinetuning/few_shot.py --config CONFIG.yaml ... --only checkpoint=none k=2,8 speaker=0011

Every field below is a key of the YAML and an option of the command line. `output_dir/results.sqlite` is the truth: what
stands there is done, so a study that was stopped, killed or extended goes on with what is missing. `report.py` makes
figures and tables of it.
"""

import json
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.runs.settings import parse_settings
from paravox.study.compare_2016 import compare_features, run_dense_trial
from paravox.study.encoding import (
    Clips,
    LayerStates,
    checkpoint_is_there,
    open_checkpoint_model,
)
from paravox.study.estimate import estimate_seconds
from paravox.study.executors import EXECUTORS, run_jobs
from paravox.study.grid import (
    BASELINES,
    COMPARE_2016,
    StudySettings,
    Trial,
    TrialClips,
    draw_clips,
    read_speakers,
)
from paravox.study.results_file import FAILED, LACKING_SHOTS, ResultsFile
from paravox.study.trials import run_head_trials, run_trained_trial, standardise


@dataclass
class RunSettings:
    """Where everything is, and who runs it."""

    data_dir: str | None = field(default=None, metadata={"help": "Folder of the few-shot corpus."})
    encoder: str | None = field(default=None, metadata={"help": "Folder or Hub name of the encoder as downloaded."})
    checkpoints_dir: str | None = field(default=None, metadata={"help": "Where prefinetune.py left its combinations."})
    output_dir: str = field(default="runs/few_shot", metadata={"help": "results.sqlite is written here."})
    executor: str = field(
        default="inline",
        metadata={
            "help": "Who runs the trials: this process, local ones, or a Ray cluster.",
            "choices": list(EXECUTORS),
        },
    )
    processes: int = field(default=1, metadata={"help": "How many trials run at once."})
    threads: int = field(default=0, metadata={"help": "Of each process; by default all cores are shared out evenly."})
    only: list[str] | None = field(
        default=None, metadata={"help": "Only these trials, such as --only checkpoint=none k=2,8 speaker=0011."}
    )
    resume_from: str | None = field(
        default=None, metadata={"help": "First take back the trials of a csv.gz that an earlier run exported."}
    )
    export: str | None = field(default=None, metadata={"help": "At the end write all trials to this csv.gz."})
    dry_run: bool = field(default=False, metadata={"help": "Count the trials and run none."})


@dataclass(frozen=True)
class Workplace:
    """What a process needs to run trials; opened once in each."""

    settings: str  # as JSON, so that it can be hashed
    data_dir: str
    encoder: str
    checkpoints_dir: str | None
    output_dir: str

    def study(self) -> StudySettings:
        return StudySettings(**json.loads(self.settings))


def main(argv: list[str] | None = None) -> dict[str, int]:
    """Runs the recipe with command line arguments; gives how many trials there are by status."""
    study, run = parse_settings((StudySettings, RunSettings), argv)
    trials = select_trials(study.grid(), run.only)
    print_plan(study, trials)
    if run.dry_run:
        print_estimate(study, run, trials)
        return {"specified": len(trials)}
    for name in ("data_dir", "encoder"):
        if getattr(run, name) is None:
            raise ConfigError(f"{name} is not given: running trials needs it (--dry_run does not)")
    if study.layer == "evaluation" and study.mode == "head":
        study.layer = best_layer(study, run, trials)
    results = ResultsFile(Path(run.output_dir) / "results.sqlite", study.description())
    if run.resume_from:
        print(f"{results.take_back(Path(run.resume_from)):,} trials taken back from {run.resume_from}")
    run_trials(study, run, trials, results)
    if run.export:
        results.export(Path(run.export))
    return print_state(study, results)


def select_trials(grid: list[Trial], only: list[str] | None) -> list[Trial]:
    """The trials that fit every `field=value,value`.

    Raises:
        ConfigError: if a field is not known or a value does not occur.
    """
    for condition in only or ():
        name, _, values = condition.partition("=")
        if name not in Trial._fields:
            raise ConfigError(f"only {condition!r}: use field=value,value with {', '.join(Trial._fields)}")
        wanted = set(values.split(","))
        strange = wanted - {str(getattr(trial, name)) for trial in grid}
        if strange:
            raise ConfigError(f"only {condition!r}: {min(strange)!r} does not occur in the grid: correct it")
        grid = [trial for trial in grid if str(getattr(trial, name)) in wanted]
    return grid


def run_trials(study: StudySettings, run: RunSettings, trials: list[Trial], results: ResultsFile) -> None:
    """Runs what is missing; only this process writes the results file."""
    clips = read_speakers(study, run.data_dir)
    done = results.done()
    missing = [trial for trial in trials if trial not in done]
    absent = [name for name in study.checkpoints if not checkpoint_is_there(name, run.checkpoints_dir)]
    if absent:
        waiting = sum(trial.checkpoint in absent for trial in missing)
        print(f"{len(absent)} checkpoints are not there yet ({', '.join(absent[:3])} ...): {waiting:,} trials wait")
        missing = [trial for trial in missing if trial.checkpoint not in absent]
    drawn = {trial: draw_clips(clips, trial, study.corpus, study.seed) for trial in missing}
    lacking = [(trial, reason) for trial, reason in drawn.items() if isinstance(reason, str)]
    results.add(trial._asdict() | {"status": LACKING_SHOTS, "message": reason} for trial, reason in lacking)
    possible = [trial for trial in missing if isinstance(drawn[trial], TrialClips)]
    if not possible:
        return
    with tqdm(total=len(possible), desc="trials", unit="trial", smoothing=0.05) as bar:
        started = time.perf_counter()
        for rows in run_jobs(partial(run_job, workplace(study, run)), jobs_of(study, possible), *workers(run)):
            results.add(rows)
            bar.update(len(rows))
            bar.set_postfix_str(f"{60 * bar.n / (time.perf_counter() - started):,.0f} trials a minute")


def workplace(study: StudySettings, run: RunSettings) -> Workplace:
    return Workplace(json.dumps(vars(study)), run.data_dir, run.encoder, run.checkpoints_dir, run.output_dir)


def workers(run: RunSettings) -> tuple[str, int, int]:
    """Executor, processes, and threads of each."""
    cores = torch.get_num_threads()
    return run.executor, run.processes, run.threads or max(1, cores // run.processes)


def jobs_of(study: StudySettings, trials: list[Trial]) -> list[list[Trial]]:
    """Trials in parts that share what is computed: in mode head those of a checkpoint, otherwise each alone."""
    by_checkpoint: dict[str | Trial, list[Trial]] = {}
    for trial in trials:
        together = study.mode == "head" and trial.checkpoint not in BASELINES
        by_checkpoint.setdefault(trial.checkpoint if together else trial, []).append(trial)
    return list(by_checkpoint.values())


def run_job(place: Workplace, trials: list[Trial]) -> list[dict]:
    """Runs trials of one checkpoint; one that fails is a row that says so."""
    study = place.study()
    table, clips = open_clips(place)
    chosen = [(trial, draw_clips(table, trial, study.corpus, study.seed)) for trial in trials]
    if trials[0].checkpoint == COMPARE_2016:
        features = dense_features(place)
        return [run_dense_trial(features, trial, shots, study) for trial, shots in chosen]
    if study.mode == "head":
        return run_head_trials(head_features(place, trials[0].checkpoint, study.layer), chosen)
    rows = []
    for trial, shots in chosen:
        try:
            rows.append(run_trained_trial(open_model(place, trial.checkpoint), clips, trial, shots, study))
        except RuntimeError as error:
            rows.append(trial._asdict() | {"status": FAILED, "message": f"{type(error).__name__}: {error}"})
    return rows


@lru_cache(maxsize=1)
def open_clips(place: Workplace):
    """The study's table of clips, and the clips themselves, which are decoded when asked for."""
    study = place.study()
    table = read_speakers(study, place.data_dir)
    extractor = Burst2VecFeatureExtractor.from_encoder(place.encoder)
    return table, Clips(table["path"].tolist(), extractor, study.max_seconds)


@lru_cache(maxsize=1)
def open_model(place: Workplace, checkpoint: str):
    return open_checkpoint_model(checkpoint, place.checkpoints_dir, place.encoder)


@lru_cache(maxsize=1)
def open_encoder_states(place: Workplace) -> LayerStates:
    table, clips = open_clips(place)
    return LayerStates(clips, (table["speaker"] + "/" + table["name"]).tolist(), Path(place.output_dir) / "states")


@lru_cache(maxsize=1)
def layer_states(place: Workplace, checkpoint: str) -> np.ndarray:
    """Every layer of every clip under a checkpoint: `(clips, layers + 1, hidden)`."""
    return open_encoder_states(place).of(open_model(place, checkpoint), f"encoding with {checkpoint}")


@lru_cache(maxsize=1)
def dense_features(place: Workplace) -> np.ndarray:
    """The standardised ComParE 2016 features of every clip."""
    table, clips = open_clips(place)
    features = compare_features(clips.paths, Path(place.output_dir) / "states", place.study().max_seconds)
    return standardise(features, np.flatnonzero(table["split"] == "train")).astype(np.float32)


def head_features(place: Workplace, checkpoint: str, layer: str) -> np.ndarray:
    """The standardised states of one layer.

    Raises:
        ConfigError: if the encoder has no such layer.
    """
    states = layer_states(place, checkpoint)
    number = states.shape[1] - 1 if layer == "last" else int(layer)
    if number >= states.shape[1]:
        raise ConfigError(f"layer {layer}: the encoder has the layers 0 to {states.shape[1] - 1}: correct it")
    table = open_clips(place)[0]
    return standardise(states[:, number], np.flatnonzero(table["split"] == "train"))


def best_layer(study: StudySettings, run: RunSettings, trials: list[Trial]) -> str:
    """The layer with the highest mean macro F1 on the evaluation parts, over all trials whose checkpoint is there."""
    place = workplace(study, run)
    table, _ = open_clips(place)
    scores: dict[int, list[float]] = {}
    for checkpoint_trials in jobs_of(study, trials):
        checkpoint = checkpoint_trials[0].checkpoint
        if checkpoint in BASELINES or not checkpoint_is_there(checkpoint, run.checkpoints_dir):
            continue
        drawn = [(trial, draw_clips(table, trial, study.corpus, study.seed)) for trial in checkpoint_trials]
        drawn = [(trial, clips) for trial, clips in drawn if isinstance(clips, TrialClips)]
        for layer in range(layer_states(place, checkpoint).shape[1]):
            rows = run_head_trials(head_features(place, checkpoint, str(layer)), drawn)
            scores.setdefault(layer, []).extend(row["evaluation_macro_f1"] for row in rows)
    means = {layer: float(np.mean(values)) for layer, values in scores.items()}
    shown = Table(title="macro F1 on the evaluation parts by layer", title_justify="left")
    for layer in means:
        shown.add_column(f"{layer}", justify="right")
    shown.add_row(*(f"{mean:.3f}" for mean in means.values()))
    Console().print(shown)
    return str(max(means, key=means.get))


def print_plan(study: StudySettings, trials: list[Trial]) -> None:
    """What the YAML specifies."""
    sizes = {
        "checkpoints": [*study.checkpoints, *(study.baselines or ())],
        "speakers": study.speakers,
        "emotions": study.emotions,
        "shots": study.shots,
        "repetitions": range(study.repetitions),
    }
    product = " x ".join(f"{len(values)} {name}" for name, values in sizes.items())
    print(f"{product} = {math.prod(map(len, sizes.values())):,} trials, mode {study.mode}")
    if len(trials) < math.prod(map(len, sizes.values())):
        print(f"{len(trials):,} of them chosen")


def print_estimate(study: StudySettings, run: RunSettings, trials: list[Trial]) -> None:
    """About how long it will take, where recordings and encoder are there to try it on."""
    if not (run.data_dir and run.encoder and Path(run.data_dir).is_dir()):
        return
    place = workplace(study, run)
    table, clips = open_clips(place)
    drawn = [(trial, draw_clips(table, trial, study.corpus, study.seed)) for trial in trials]
    possible = [(trial, chosen) for trial, chosen in drawn if isinstance(chosen, TrialClips)]
    seconds = estimate_seconds(study, open_model(place, NO_CORPUS), clips, possible)
    print(
        f"{len(trials) - len(possible):,} trials lack shots; the rest take at most about "
        f"{timedelta(seconds=round(seconds / run.processes))} with {run.processes} processes"
    )


def print_state(study: StudySettings, results: ResultsFile) -> dict[str, int]:
    """How far the whole study is."""
    grid = set(study.grid())
    table = results.table()
    trials = table[list(Trial._fields)].itertuples(index=False, name=None)
    counts = Counter(status for trial, status in zip(trials, table["status"], strict=True) if trial in grid)
    state = {"specified": len(grid)} | {status: counts[status] for status in sorted(counts)}
    print(f"{results.path}: " + ", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in state.items()))
    return state


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
