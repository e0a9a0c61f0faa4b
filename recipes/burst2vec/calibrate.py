"""Calibrates a trained model on Val, and teaches it what its training recordings look like.

    paravox calibrate recipes/burst2vec/configs/real_bursts.yaml --data_dir BURSTS \\
        --model runs/real_bursts/model --output_dir runs/real_bursts/calibrated

The YAML is the one that trained the model; it says which corpus to read. The calibrated model is a copy: the pipeline
and `paravox predict` show calibrated intensities and probabilities, and say how unlike the training recordings a clip
is. The model's `predictions`, which scores stand on, stay as they are. Val sets the temperatures and the threshold.
The expected calibration errors before and after, and the share of clips that are called unusual, go to the model's
card, and with --output to a file, for Val and Test.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from paravox.corpora.registry import load_corpus
from paravox.evaluation.model_calibration import ModelOutputs, fit_calibration, fit_familiarity, reliability_of
from paravox.evaluation.score_names import SPLIT_TITLES
from paravox.inference.opening import open_model
from paravox.inference.prediction import pass_settings
from paravox.modeling.calibration import FIELDS
from paravox.modeling.errors import ConfigError, CorpusError
from paravox.modeling.losses import fully_known
from paravox.modeling.model_with_encoder import ModelWithEncoder
from paravox.modeling.tasks import parse_tasks
from paravox.runs.card_sections import copy_card
from paravox.runs.device_options import DTYPES, chosen_device
from paravox.runs.program import run
from paravox.runs.settings import read_yaml
from paravox.trainers.clip_pass import in_row_order, pass_over_clips
from paravox.trainers.device_features import DeviceFeatures
from paravox.trainers.file_pass import SamplesCollator
from paravox.trainers.files import write_text
from paravox.trainers.multi_task_dataset import MultiTaskDataset

SECTION = "Calibration and unusual recordings"


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Calibrates the model and saves the copy; returns the errors and rates by split."""
    arguments = parse_arguments(argv)
    settings = read_yaml(arguments.settings)
    data_dir = arguments.data_dir or settings.get("data_dir")
    if data_dir is None:
        raise ConfigError("no data_dir is given: add --data_dir with the folder of the corpus")
    if arguments.output_dir.resolve() == Path(arguments.model).resolve():
        raise ConfigError(f"output_dir {str(arguments.output_dir)!r} is the folder of the model: give another one")
    device, _ = chosen_device(arguments.device, "float32")
    model, extractor = open_model(arguments.model, device=device, dtype=torch.float32)
    if not isinstance(model, ModelWithEncoder):
        raise ConfigError(f"{arguments.model} is a {type(model).__name__}: only models with an encoder are calibrated")
    tasks = parse_tasks(model.config.tasks)
    options = settings.get("corpus_options") or {}
    audio = settings.get("audio", "provided")
    corpus = load_corpus(settings.get("corpus", "metadata_csv"), data_dir, tasks, audio, **options)
    if "validation" not in corpus:
        raise CorpusError(f"{data_dir} has no Val, on which a model is calibrated: add a validation split")
    corpus["train"] = some_clips(corpus["train"], arguments.max_clips, arguments.seed)
    rate = extractor.sampling_rate
    datasets = {split: MultiTaskDataset(clips, tasks, sampling_rate=rate) for split, clips in corpus.items()}
    outputs = {split: outputs_of(model, extractor, dataset, split) for split, dataset in datasets.items()}
    calibrate(model, outputs, datasets["validation"].labels, arguments.false_alarm_rate)
    report = {"calibration": model.config.calibration, "familiarity": model.config.familiarity}
    report |= {
        title: describe_split(model, outputs[split], datasets[split].labels)
        for split, title in SPLIT_TITLES.items()
        if split in datasets
    }
    save(model, extractor, arguments, report)
    return report


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("settings", metavar="YAML", type=Path, help="The YAML file that trained the model.")
    parser.add_argument("--model", required=True, help="Folder of the model, or its name on the Hub.")
    parser.add_argument("--data_dir", help="Folder of the corpus (default: that of the YAML file).")
    parser.add_argument("--output_dir", type=Path, required=True, help="Folder for the calibrated copy of the model.")
    parser.add_argument("--output", type=Path, help="JSON file for the errors and rates.")
    parser.add_argument(
        "--false_alarm_rate",
        type=float,
        default=0.05,
        help="Share of Val that is called unusual (default: %(default)s).",
    )
    parser.add_argument(
        "--max_clips",
        type=int,
        default=5_000,
        help="The most clips of Train that are read, drawn at random (default: %(default)s).",
    )
    parser.add_argument("--seed", type=int, default=0, help="Of the draw (default: %(default)s).")
    parser.add_argument(
        "--save_dtype",
        choices=DTYPES,
        default="float32",
        help="Type of the saved weights; float16 takes half the space (default: %(default)s).",
    )
    parser.add_argument(
        "--device", help="Where the model runs, such as cuda:1 or cpu (default: cuda, then mps, then cpu)."
    )
    arguments = parser.parse_args(argv)
    if not 0 < arguments.false_alarm_rate < 1:
        raise ConfigError(f"false_alarm_rate is {arguments.false_alarm_rate}: give a share between 0 and 1")
    if arguments.max_clips < 2:
        raise ConfigError(f"max_clips is {arguments.max_clips}: give at least 2")
    return arguments


def some_clips(clips: Dataset, most: int, seed: int) -> Dataset:
    """At most so many clips of a split, drawn without replacement, in their order."""
    if len(clips) <= most:
        return clips
    return clips.select(np.sort(np.random.default_rng(seed).choice(len(clips), most, replace=False)))


def outputs_of(model: ModelWithEncoder, extractor: Any, dataset: MultiTaskDataset, title: str) -> ModelOutputs:
    """What the model gives for every clip of a split."""
    features = DeviceFeatures(extractor)

    def step(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        output = model(**features(**inputs))
        pooled = output.pooled_states
        results = {"pooled": pooled if pooled.ndim == 2 else pooled[:, -1]}
        for kind in ("logits", "predictions"):
            results |= {f"{kind}/{name}": values for name, values in output[kind].items()}
        return results

    settings = pass_settings(model, len(dataset))
    batches = pass_over_clips(model, dataset, SamplesCollator(extractor), step, settings, title)
    results = in_row_order(batches, len(dataset))
    by_kind = {kind: {name: results[f"{kind}/{name}"] for name in model.tasks} for kind in ("logits", "predictions")}
    return ModelOutputs(**by_kind, pooled_states=results["pooled"])


def calibrate(
    model: ModelWithEncoder, outputs: dict[str, ModelOutputs], labels: dict[str, np.ndarray], false_alarm_rate: float
) -> None:
    """Changes the model and its config, by its outputs on Train and Val and the labels of Val."""
    validation = outputs["validation"]
    fitted = {
        name: fit_calibration(task, validation.logits[name], labels[name])
        for name, task in model.tasks.items()
        if task.kind in FIELDS
    }
    for name, values in fitted.items():
        if values is None:
            print(f"{name} is left as it is: Val has no labels of it, or the outputs do not rise with them")
    model.config.calibration = {name: values for name, values in fitted.items() if values is not None}
    familiarity = fit_familiarity(outputs["train"].pooled_states, validation.pooled_states, false_alarm_rate)
    directions = len(familiarity.directions)
    model.config.familiarity = {"directions": directions, "false_alarm_rate": false_alarm_rate}
    model.familiarity = familiarity


def describe_split(model: ModelWithEncoder, outputs: ModelOutputs, labels: dict[str, np.ndarray]) -> dict[str, Any]:
    """The number of clips, the share of them that is unusual, and the calibration errors before and after."""
    unusual = model.familiarity(torch.from_numpy(outputs.pooled_states))
    errors = {}
    for name, task in model.tasks.items():
        if task.kind in FIELDS and fully_known(labels[name]).any():
            calibration = model.config.calibration.get(name)
            errors[name] = {
                "before": reliability_of(task, outputs, labels[name]).error,
                "after": reliability_of(task, outputs, labels[name], calibration).error,
            }
    return {"clips": len(unusual), "unusual": float((unusual > 1).float().mean()), "calibration_error": errors}


def save(model: ModelWithEncoder, extractor: Any, arguments: argparse.Namespace, report: dict[str, Any]) -> None:
    """Leaves the calibrated model with its card, and the report."""
    folder = arguments.output_dir
    saved: Any = model.cpu()
    saved.to(getattr(torch, arguments.save_dtype)).save_pretrained(folder)
    extractor.save_pretrained(folder)
    copy_card(Path(arguments.model), folder, SECTION, as_markdown(report))
    if arguments.output is not None:
        write_text(arguments.output, json.dumps(report, indent=2) + "\n")
    print(as_markdown(report))
    print(f"The calibrated model is saved in {folder}.")


def as_markdown(report: dict[str, Any]) -> str:
    """The report as a section of a card."""
    splits = {title: report[title] for title in SPLIT_TITLES.values() if title in report}
    names = {"val": "Val", "test": "Test"}
    lines = [
        "The pipeline shows calibrated values: Val set a temperature per task. The expected calibration error is the "
        "mean gap between what is predicted and what is true, in ten bins (Guo et al. 2017).",
        "",
        "| Split | Clips | Task | Calibration error before | after |",
        "|---|---|---|---|---|",
    ]
    for title, found in splits.items():
        for task, errors in found["calibration_error"].items():
            cells = [
                names[title],
                f"{found['clips']:,}",
                task,
                *(f"{errors[time]:.3f}" for time in ("before", "after")),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    rates = " and ".join(f"{found['unusual']:.1%} of {names[title]}" for title, found in splits.items())
    lines += [
        "",
        "Each result also says how unlike the training recordings a clip is, as `unusual`: above 1, it is further from "
        f"them than {1 - report['familiarity']['false_alarm_rate']:.0%} of Val. That holds for {rates}.",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
