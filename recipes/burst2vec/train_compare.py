"""Train the ComParE baseline of the ExVo 2022 challenge on any corpus of clips.

    paravox train_compare SETTINGS.yaml --data_dir FOLDER --output_dir runs/compare
    paravox train_compare SETTINGS.yaml --resume_from_checkpoint last

A small network on 6,373 functionals per clip, which openSMILE computes once (pip install 'paravox[compare]'). Sizes,
losses and optimiser are those of the organisers; the challenge reported the best of several seeds. Every option is also
a key of the YAML file. A run leaves in `output_dir` what train.py leaves: `model/`, which `from_pretrained` opens;
`results.json`; `predictions/` of Val and Test; `log.jsonl` with all that was logged; and `checkpoint-*/` to go on from.
"""

import dataclasses
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from transformers import set_seed

from paravox.corpora.class_weights import with_balanced_weights, without_balanced_weights
from paravox.modeling.configuration_compare import ComParEConfig, parse_baseline_tasks
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor, open_smile
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.runs.machine import machine_name
from paravox.runs.model_card import CardFacts, ModelCardCallback, card_facts
from paravox.runs.output_folder import claim_output_folder
from paravox.runs.program import run
from paravox.runs.program_settings import SETTINGS, BaselineSettings
from paravox.runs.results import score_constant, score_splits
from paravox.runs.settings import parse_settings
from paravox.runs.trained_model import leave_trained_model, save_model
from paravox.runs.training_checkpoints import find_checkpoint
from paravox.runs.training_corpus import read_splits
from paravox.runs.training_defaults import training_defaults, without_validation
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.compare_trainer import ComParETrainer
from paravox.trainers.functionals import extract_functionals, standardise_by
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.multi_task_trainer import check_metric_name

GO_ON = "start the same command again with --resume_from_checkpoint last"
CARD = "compare.md"
EXTRACTED_AT_ONCE = 16  # clips per batch; a worker gets a new batch when it has finished one


Datasets = dict[str, MultiTaskDataset]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs the program with command line arguments, a YAML file first; returns the content of results.json."""
    started = time.time()
    model_settings, data_settings, run_settings, card_settings, args = parse_settings(
        SETTINGS["burst2vec.train_compare"], argv, __doc__, baseline_defaults
    )
    resume = find_checkpoint(args)
    # A run that is to go on, but had saved nothing, begins anew.
    anew = run_settings.overwrite or bool(args.resume_from_checkpoint)
    claim = claim_output_folder(Path(args.output_dir), empty=resume is None, overwrite=anew)
    # One process of a run holds the folder for all of them.
    with claim if args.process_index == 0 else nullcontext():
        open_smile()  # before anything else takes time, because it may not be installed
        set_seed(args.seed)
        extractor = ComParEFeatureExtractor()
        tasks = parse_baseline_tasks(without_balanced_weights(model_settings.tasks))
        datasets = read_splits(data_settings, tasks, args.seed, extractor.sampling_rate)
        if "validation" not in datasets:
            args = without_validation(args)
        check_metric_name(tasks, args, datasets.get("validation"))
        datasets, args = extract_once(datasets, extractor, data_settings.cache_dir, args)
        model = build_model(model_settings, datasets["train"])
        facts = card_facts(card_settings, args, None, (model_settings, data_settings, run_settings))
        results: dict[str, Any] = {"constant": score_constant(tasks, datasets), "seed": args.seed}
        results |= train(model, extractor, datasets, args, facts, resume)
        results["seconds"] = round(time.time() - started)
        results["machine"] = machine_name(args.device)
        if args.process_index == 0:
            facts.scores = {
                "constant prediction": results["constant"],
                "ComParE baseline": {title: results[title] for title in ("val", "test") if title in results},
            }
            facts.chosen_by_val = "val" in results and bool(args.load_best_model_at_end)
            leave_trained_model(model, extractor, args, facts, CARD, results, run_settings.output)
    return results


def baseline_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """The organisers' settings, so that a YAML file of a few lines trains as they did.

    Early stopping is left to the YAML file, because a corpus may have no validation split.

    Args:
        given (`dict`): the settings that were given, by name.
    """
    organisers = {
        "output_dir": "runs/compare",
        "num_train_epochs": 20,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "constant",
        "weight_decay": 1e-4,
        "max_grad_norm": 0.0,
        "per_device_train_batch_size": 8,
        "per_device_eval_batch_size": 256,
        "task_batching": "all_tasks",
    }
    chosen = organisers | given
    return {name: value for name, value in (training_defaults(chosen) | organisers).items() if name not in given}


def extract_once(
    datasets: Datasets, extractor: ComParEFeatureExtractor, cache_dir: str | None, args: MultiTaskTrainingArguments
) -> tuple[Datasets, MultiTaskTrainingArguments]:
    """The splits as functionals, and arguments that read them without workers, which would only take longer."""
    folder = Path(cache_dir) if cache_dir else Path(args.output_dir) / "functionals"
    settings = PassSettings(
        batch_size=EXTRACTED_AT_ONCE,
        num_workers=args.dataloader_num_workers,
        prefetch_factor=args.dataloader_prefetch_factor,
        show_progress=not args.disable_tqdm,
    )
    with args.main_process_first(desc="functionals"):
        extracted = {
            split: extract_functionals(dataset, extractor, folder, settings, f"functionals of {split}")
            for split, dataset in datasets.items()
        }
    args = dataclasses.replace(
        args, dataloader_num_workers=0, dataloader_prefetch_factor=None, dataloader_persistent_workers=False
    )
    return extracted, args


def build_model(settings: BaselineSettings, train_clips: MultiTaskDataset) -> ComParEForMultiTask:
    """A new model, whose functionals are standardised by Train."""
    source: Any = train_clips.source
    functionals = source.values
    tasks: Any = with_balanced_weights(settings.tasks, train_clips.labels)
    config = ComParEConfig(tasks, functionals.shape[1], settings.shared_sizes, settings.head_sizes)
    model = ComParEForMultiTask(config)
    standardise_by(model, functionals)
    return model


def train(
    model: ComParEForMultiTask,
    extractor: ComParEFeatureExtractor,
    datasets: Datasets,
    args: MultiTaskTrainingArguments,
    facts: CardFacts,
    resume: str | None,
) -> dict[str, dict[str, float]]:
    """Trains the model, saves it, and only then scores it; returns the scores by split."""
    card = ModelCardCallback(model.config, facts, CARD)
    trainer = ComParETrainer(model, args, extractor, datasets["train"], datasets.get("validation"), callbacks=[card])
    if trainer.is_world_process_zero():
        batches = len(trainer.train_batch_sampler())
        print(
            f"{len(datasets['train']):,} Train clips in {batches:,} batches per epoch; {model.num_parameters():,} "
            "parameters learn."
        )
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    if trainer.is_world_process_zero():
        save_model(model, extractor, args)
    return score_splits(trainer, datasets)


if __name__ == "__main__":
    run(main, go_on=GO_ON)
