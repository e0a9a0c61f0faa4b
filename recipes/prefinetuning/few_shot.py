r"""Run the few-shot study: adapt every checkpoint to every speaker from k clips, and store each trial.

    python recipes/prefinetuning/few_shot.py recipes/prefinetuning/configs/paper_few_shot.yaml --dry_run
    python recipes/prefinetuning/few_shot.py CONFIG.yaml --data_dir ESD --encoder ENCODER \
        --checkpoints_dir runs/pre_finetuning
    python recipes/prefinetuning/few_shot.py CONFIG.yaml ... --only checkpoint=none k=2,8 speaker=0011

Every option is also a key of the YAML file. Each trial is stored in `output_dir/results.sqlite` as soon as it is done.
When the same command is started again, it runs the trials that are missing, so a study can be stopped, killed or
extended at any time. `report.py` makes figures and tables from the file.
"""

import dataclasses
import math
import statistics
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from paravox.modeling.errors import ConfigError, did_you_mean
from paravox.runs.device_options import chosen_device
from paravox.runs.program import run
from paravox.runs.program_settings import SETTINGS, StudyRunSettings
from paravox.runs.settings import parse_settings
from paravox.study.checkpoints import checkpoint_exists
from paravox.study.draws import TrialClips, draw_clips
from paravox.study.estimate import EpochSeconds, epochs_of, trial_seconds
from paravox.study.executors import Workers, run_jobs
from paravox.study.grid import StudySettings, Trial
from paravox.study.jobs import (
    StudyContext,
    draw_possible,
    evaluation_scores_by_layer,
    group_into_jobs,
    open_table,
    run_job,
    time_job,
)
from paravox.study.results_file import FINISHED, LACKING_SHOTS, ResultsFile

GO_ON = "start the same command again, which runs only the trials that are missing"


def main(argv: list[str] | None = None) -> dict[str, int]:
    """Runs the program with command line arguments and returns how many trials there are by status."""
    study, settings = parse_settings(SETTINGS["prefinetuning.few_shot"], argv, __doc__)
    trials = select_trials(study.grid(), settings.only)
    can_run = settings.data_dir and settings.encoder and Path(settings.data_dir).is_dir()
    if can_run or not settings.dry_run:
        choose_precision(study, settings)
    print_plan(study, trials)
    if settings.dry_run and not can_run:
        return {"specified": len(trials)}
    if settings.dry_run:
        print_estimate(study, settings, trials)
        return {"specified": len(trials)}
    for name in ("data_dir", "encoder"):
        if getattr(settings, name) is None:
            raise ConfigError(f"{name} is not given: it is needed to run trials (only --dry_run works without it)")
    if study.layer == "evaluation" and study.mode == "head":
        study.layer = choose_layer(context_of(study, settings), trials)
    results = ResultsFile(Path(settings.output_dir) / "results.sqlite", study.description())
    if settings.resume_from:
        count = results.import_trials(Path(settings.resume_from))
        print(f"{count:,} trials imported from {settings.resume_from}")
    run_trials(study, settings, trials, results)
    if settings.output:
        results.export_trials(Path(settings.output))
    return print_state(study, results)


def select_trials(grid: list[Trial], only: list[str] | None) -> list[Trial]:
    """The trials that meet every condition of the form `field=value,value`.

    Raises:
        ConfigError: if a field is unknown or a value does not occur.
    """
    for condition in only or ():
        name, _, values = condition.partition("=")
        if name not in Trial._fields:
            raise ConfigError(
                f"only {condition!r}: {name!r} is not a field of a trial: {did_you_mean(name, Trial._fields)}"
            )
        wanted = set(values.split(","))
        possible = dict.fromkeys(str(getattr(trial, name)) for trial in grid)
        unknown = sorted(wanted - set(possible))
        if unknown:
            raise ConfigError(
                f"only {condition!r}: {unknown[0]!r} does not occur in the grid: {did_you_mean(unknown[0], possible)}"
            )
        grid = [trial for trial in grid if str(getattr(trial, name)) in wanted]
    return grid


def choose_precision(study: StudySettings, settings: StudyRunSettings) -> None:
    """Chooses device and precision where they are not given, and prints which these are.

    Raises:
        ConfigError: if there is no such device or precision, or trials cannot learn in it.
    """
    device, dtype = chosen_device(settings.device, settings.dtype)
    if dtype == torch.float16 and not study.encoder_is_frozen:
        raise ConfigError(f"mode {study.mode} cannot learn in float16: use --dtype bfloat16 or float32")
    settings.device, settings.dtype = str(device), str(dtype).removeprefix("torch.")


def workers_of(settings: StudyRunSettings) -> Workers:
    """Who runs the jobs: as many as trials_per_device for each device, if processes does not say otherwise."""
    if settings.trials_per_device < 1:
        raise ConfigError(f"trials_per_device is {settings.trials_per_device}: give a whole number of at least 1")
    executor, processes, threads = settings.executor, settings.processes, settings.threads
    # A device with its number is the only one that is used.
    jobs_per_gpu = settings.trials_per_device if settings.device == "cuda" else None
    if executor == "inline" and settings.trials_per_device > 1:
        executor = "processes"
    if executor == "inline":
        processes = 1
    elif executor == "processes" and not processes:
        processes = settings.trials_per_device * (torch.cuda.device_count() if jobs_per_gpu else 1)
    if not threads:
        threads = 1 if executor == "ray" and not processes else max(1, torch.get_num_threads() // processes)
    return Workers(executor, processes, threads, jobs_per_gpu)


def run_trials(study: StudySettings, settings: StudyRunSettings, trials: list[Trial], results: ResultsFile) -> None:
    """Runs the trials that are missing. Only this process writes the results file."""
    done = results.done()
    missing = [trial for trial in trials if trial not in done]
    absent = [name for name in study.checkpoints if not checkpoint_exists(name, settings.checkpoints_dir)]
    waiting = [trial for trial in missing if trial.checkpoint in absent]
    if waiting:
        names = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        print(f"{len(absent)} checkpoints do not exist yet ({names}), so {len(waiting):,} trials wait for them")
        missing = [trial for trial in missing if trial.checkpoint not in absent]
    if not missing:
        return
    context = context_of(study, settings)
    table = open_table(context)
    drawn = {trial: draw_clips(table, trial, study.corpus, study.seed) for trial in missing}
    lacking = [(trial, reason) for trial, reason in drawn.items() if isinstance(reason, str)]
    results.add(trial._asdict() | {"status": LACKING_SHOTS, "message": reason} for trial, reason in lacking)
    jobs = group_into_jobs(study, [trial for trial in missing if isinstance(drawn[trial], TrialClips)])
    if not jobs:
        return
    workers = workers_of(settings)
    seconds = []
    with tqdm(total=sum(map(len, jobs)), desc="trials", unit="trial", smoothing=0.05) as bar:
        started = time.perf_counter()
        for rows in run_jobs(partial(run_job, context), jobs, workers):
            results.add(rows)
            seconds += [row["seconds"] for row in rows if row["status"] == FINISHED and not study.encoder_is_frozen]
            bar.update(len(rows))
            bar.set_postfix_str(f"{60 * bar.n / (time.perf_counter() - started):,.0f} trials per minute")
    if seconds and workers.processes:
        # What a process does once is left out: opening the model and reading the clips of a speaker.
        rate = 3600 * workers.processes * len(seconds) / sum(seconds)
        print(f"{len(seconds):,} trials finished, {rate:,.0f} per hour with {workers.processes} at the same time")


def context_of(study: StudySettings, settings: StudyRunSettings) -> StudyContext:
    """What the jobs of this run need."""
    places = settings.data_dir, settings.encoder, settings.checkpoints_dir, settings.output_dir
    return StudyContext.of(study, *places, settings.device, settings.dtype)


def choose_layer(context: StudyContext, trials: list[Trial]) -> str:
    """Prints how well each layer does on the evaluation parts and returns the best one."""
    means = evaluation_scores_by_layer(context, trials)
    if not means:
        raise ConfigError("layer is 'evaluation', but no checkpoint exists yet: run prefinetune.py, or name a layer")
    table = Table(title="Mean macro F1 on the evaluation parts by layer", title_justify="left")
    for layer in means:
        table.add_column(f"{layer}", justify="right")
    table.add_row(*(f"{mean:.3f}" for mean in means.values()))
    Console().print(table)
    return str(max(means, key=means.get))


def print_plan(study: StudySettings, trials: list[Trial]) -> None:
    """Prints how many trials the settings specify."""
    sizes = {
        "checkpoints": [*study.checkpoints, *(study.baselines or ())],
        "speakers": study.speakers,
        "emotions": study.emotions,
        "shots": study.shots,
        "repetitions": range(study.repetitions),
    }
    product = " x ".join(f"{len(values)} {name}" for name, values in sizes.items())
    specified = math.prod(map(len, sizes.values()))
    print(f"{product} = {specified:,} trials, mode {study.mode}")
    if len(trials) < specified:
        print(f"{len(trials):,} of them are chosen by --only")


def print_estimate(study: StudySettings, settings: StudyRunSettings, trials: list[Trial]) -> None:
    """Tries trials on the device, as many at once as will run, and prints about how long all of them will take."""
    context = context_of(study, settings)
    possible = draw_possible(context, trials)
    print(f"{len(trials) - len(possible):,} trials lack shots; ", end="")
    if not possible:
        print("no trial is left")
        return
    workers = workers_of(settings)
    processes = workers.processes or settings.trials_per_device
    like = [trial for trial, _ in possible if trial.speaker == possible[0][0].speaker]
    # On Ray, this machine stands for all nodes.
    local = min(processes, settings.trials_per_device)
    executor = "inline" if local == 1 else "processes"
    trying = dataclasses.replace(workers, executor=executor, processes=local)
    measured = [row for rows in run_jobs(partial(time_job, context), [like] * local, trying) for row in rows]
    at_once = f"with {processes} at the same time on {context.device_name}"
    if study.encoder_is_frozen:
        checkpoints = len({trial.checkpoint for trial, _ in possible})
        rounds = -(-checkpoints // processes)
        encoding, heads = (statistics.mean(row[name] for row in measured) for name in ("encoding", "heads"))
        most = timedelta(seconds=round(rounds * encoding + len(possible) * heads / processes))
        print(f"the rest take at most about {most} {at_once}")
        return
    epochs = [EpochSeconds(**row) for row in measured]
    least, most = (
        timedelta(seconds=round(trial_seconds(study, epochs, possible, count) / processes))
        for count in epochs_of(study)
    )
    print(f"the rest take at most about {most} {at_once}")
    print(f"where every trial stops as early as it can, they take about {least}")


def print_state(study: StudySettings, results: ResultsFile) -> dict[str, int]:
    """Prints and returns how many trials of the whole study are specified and how many have each status."""
    grid = set(study.grid())
    table = results.table()
    trials = table[list(Trial._fields)].itertuples(index=False, name=None)
    counts = Counter(status for trial, status in zip(trials, table["status"], strict=True) if trial in grid)
    state = {"specified": len(grid)} | {status: counts[status] for status in sorted(counts)}
    print(f"{results.path}: " + ", ".join(f"{count:,} {status.replace('_', ' ')}" for status, count in state.items()))
    return state


if __name__ == "__main__":
    run(main, go_on=GO_ON)
