"""Train Burst2Vec on any corpus of clips.

    accelerate launch recipes/burst2vec/train.py recipes/burst2vec/configs/tiny_demo.yaml --data_dir DIR
    accelerate launch recipes/burst2vec/train.py CONFIG.yaml --learning_rate 1e-5 --output_dir runs/mine
    accelerate launch recipes/burst2vec/train.py CONFIG.yaml --resume_from_checkpoint last

Every field below and every argument of the Trainer is a key of the YAML and an option of the command line. What a run
leaves in `output_dir`: `model/` (opens by from_pretrained), `results.json`, `predictions/` of Val and Test in the order
of the corpus's rows, `trainer_state.json` with the whole log, and `checkpoint-*/`, from which a run that was stopped
goes on.
"""

import copy
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, set_seed
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType

from paravox.corpora.audio_cache import AudioCache
from paravox.corpora.class_weights import with_balanced_weights, without_balanced_weights
from paravox.corpora.oversampling import oversample
from paravox.corpora.registry import load_corpus
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.card_figures import plot_scores
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.audio import load_audio
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.encoders import open_checkpoint
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task, parse_tasks
from paravox.runs.model_card import CardFacts, CardSettings, ModelCardCallback, card_facts, write_model_card
from paravox.runs.output_folder import claim_output_folder, last_whole_checkpoint, write_whole
from paravox.runs.settings import parse_settings
from paravox.trainers.augmentation import ClipAugmentation
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.clip_sources import PooledStates
from paravox.trainers.lower_states import LowerStates, encode_lower_layers
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.publishing import MODEL_FOLDER, publish_run
from paravox.trainers.sampler import TASK_BATCHING, padding_share
from paravox.trainers.scoring import score_split

SPLIT_TITLES = {"validation": "val", "test": "test"}


@dataclass
class ModelSettings:
    """The model: an encoder, and what stands on it."""

    tasks: list[dict] = field(
        metadata={
            "help": "What to predict, each with name, kind, and labels or range. For classes, class_weights: balanced (or a "
            "number a label) makes rare labels count more."
        }
    )
    start_from: str | None = field(
        default=None,
        metadata={
            "help": "Go on from the weights of a saved model of the same tasks, whose settings of this group then hold: a "
            "folder, or a name on the Hub."
        },
    )
    encoder: str | None = field(default=None, metadata={"help": "Folder or Hub name of a pre-trained encoder."})
    encoder_settings: dict | None = field(
        default=None,
        metadata={
            "help": "Fields of the pre-trained encoder's own config to change, such as {dropout: 0.1, apply_spec_augment: "
            "true}."
        },
    )
    encoder_config: dict | None = field(
        default=None, metadata={"help": "Instead: model_type and sizes of an encoder that starts from random weights."}
    )
    projection_size: int = field(default=256, metadata={"help": "Width of the projected representation."})
    feature_size: int = field(
        default=256, metadata={"help": "Width of the shared, specific and joint representations."}
    )
    dropout: float = field(default=0.1, metadata={"help": "In the projection and the extractors."})
    adversarial: bool = field(default=True, metadata={"help": "False is the paper's -Adv."})
    discriminator_weight: float = field(default=0.5, metadata={"help": "Alpha 1 of equation 8."})
    adversarial_weight: float = field(default=0.25, metadata={"help": "Alpha 2 of equation 8."})
    adversarial_scope: str = field(
        default="encoder", metadata={"help": "How far a reversed gradient flows: encoder or extractor."}
    )
    layer_weights: bool = field(default=False, metadata={"help": "Learn a weighted mean of all the encoder's layers."})
    uncertainty_weighting: bool = field(
        default=False, metadata={"help": "Weigh the tasks by learned variances instead of evenly."}
    )
    target_rms_db: float | None = field(default=None, metadata={"help": "Level of every clip in dB of full scale."})


@dataclass
class DataSettings:
    """The corpus, and how its clips are read."""

    data_dir: str = field(
        metadata={"help": "Folder of the corpus; for corpus: dataset also a Parquet file or Hub name."}
    )
    corpus: str = field(default="metadata_csv", metadata={"help": "exvo, metadata_csv or dataset."})
    audio: str = field(
        default="provided", metadata={"help": "ExVo's processed wav files (provided) or the webm files (raw)."}
    )
    max_seconds: float | None = field(
        default=None, metadata={"help": "Longer Train clips are cropped, anew each epoch."}
    )
    augmentation: list[dict] = field(
        default_factory=list,
        metadata={
            "help": "Changes Train clips by audiomentations, anew each epoch: a list of transforms, such as "
            "{transform: AddGaussianNoise, p: 0.5, max_amplitude: 0.01}."
        },
    )
    oversample: bool = field(
        default=False, metadata={"help": "Draw Train rows again until all strata are of one size."}
    )
    max_repeats: int = field(default=10, metadata={"help": "At most so often a row, when oversampling."})
    shuffle_labels: bool = field(
        default=False,
        metadata={"help": "Deal Train's labels out at random: what is left is not learned from the sound."},
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Keep decoded audio here, so that it is decoded once."}
    )
    cache_gigabytes: float = field(default=20.0, metadata={"help": "The most that the cache takes on disk."})
    cache_lower_layers: bool = field(
        default=False,
        metadata={
            "help": "Run what trainable_encoder_layers freezes once, and keep its states on disk in cache_dir (or "
            "output_dir), each split's within cache_gigabytes."
        },
    )
    skip_bad: bool = field(default=False, metadata={"help": "Leave out clips that cannot be read instead of stopping."})


@dataclass
class RunSettings:
    """The stages of a run, and what it leaves."""

    heads_first_epochs: int = field(
        default=0,
        metadata={"help": "First train all but the encoder for so many epochs, on what the frozen encoder gives."},
    )
    heads_first_task_batching: str = field(
        default="round_robin",
        metadata={"help": "How that stage chooses the task of a batch.", "choices": list(TASK_BATCHING)},
    )
    heads_first_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of that stage."})
    results_file: str | None = field(default=None, metadata={"help": "Also write results.json here."})
    overwrite_output_dir: bool = field(default=False, metadata={"help": "Remove an earlier run's checkpoints first."})


# Of the settings of a model, those that its config has too.
CONFIG_FIELDS = (
    "projection_size",
    "feature_size",
    "dropout",
    "adversarial",
    "discriminator_weight",
    "adversarial_weight",
    "adversarial_scope",
    "layer_weights",
    "uncertainty_weighting",
)
SETTINGS = (ModelSettings, DataSettings, RunSettings, CardSettings, MultiTaskTrainingArguments)


def main(argv: list[str] | None = None) -> dict:
    """Runs the recipe with command line arguments, a YAML file first; gives what results.json holds."""
    started = time.time()
    model_settings, data_settings, run_settings, card_settings, args = parse_settings(SETTINGS, argv)
    output_dir = Path(args.output_dir)
    resume = find_checkpoint(args)
    claim = claim_output_folder(output_dir, empty=resume is None, overwrite=run_settings.overwrite_output_dir)
    # One process of a run holds the folder for all of them.
    with claim if args.process_index == 0 else nullcontext():
        set_seed(args.seed)
        extractor = build_extractor(model_settings)
        datasets = build_datasets(
            data_settings, parse_tasks(without_balanced_weights(model_settings.tasks)), extractor, args.seed
        )
        tasks = parse_tasks(with_balanced_weights(model_settings.tasks, datasets["train"].labels))
        model = build_model(model_settings, tasks)
        facts = card_facts(card_settings, args, model_settings.encoder, (model_settings, data_settings, run_settings))
        results = {"constant": score_constant(tasks, datasets), "seed": args.seed}
        if data_settings.cache_lower_layers:
            datasets = encode_once(model, extractor, datasets, args, data_settings)
        if run_settings.heads_first_epochs:
            results["frozen_head"] = train_heads_first(model, extractor, datasets, args, run_settings, resume)
        if args.num_train_epochs > 0:
            card = ModelCardCallback(model.config, facts)
            trainer = Burst2VecTrainer(
                model, args, extractor, datasets["train"], datasets.get("validation"), callbacks=[card]
            )
            print_plan(trainer)
            trainer.train(resume_from_checkpoint=resume)
            trainer.save_state()
            results |= score_splits(trainer, datasets)
        else:
            results |= results["frozen_head"]
        results["seconds"] = round(time.time() - started)
        if args.process_index == 0:
            folder = output_dir / MODEL_FOLDER
            model.save_pretrained(folder)
            extractor.save_pretrained(folder)
            complete_card(folder, model, facts, results, datasets)
            if args.push_to_hub:
                publish_run(folder, args)
            write_results(results, output_dir / "results.json", run_settings.results_file)
            print_results(results)
            print(f"model saved in {folder}")
    return results


def complete_card(
    folder: Path,
    model: Burst2VecForMultiTask,
    facts: CardFacts,
    results: dict,
    datasets: dict[str, MultiTaskDataset],
) -> None:
    """Writes the card with the final scores, and the figures of the last split that was scored."""
    facts.scores = score_rows(results)
    tasks = parse_tasks(model.config.tasks)
    predictions = folder.parent / "predictions"
    if not predictions.is_dir():
        predictions = folder.parent / "frozen_head" / "predictions"
    for split, title in SPLIT_TITLES.items():
        if split in datasets:
            with np.load(predictions / f"{title}.npz") as file:
                figures = plot_scores(tasks, dict(file), datasets[split].labels, folder / "figures")
    facts.figures = figures + [figure for figure in facts.figures if figure not in figures]
    write_model_card(folder, "burst2vec.md", model.config, facts)


def build_extractor(settings: ModelSettings) -> Burst2VecFeatureExtractor:
    """The feature extractor of a saved model, of a pre-trained encoder, or of one that is described."""
    given = [settings.start_from, settings.encoder, settings.encoder_config]
    if sum(source is not None for source in given) != 1:
        raise ConfigError(
            "give one of encoder (a folder or Hub name), encoder_config (a model_type and sizes) and start_from (a saved "
            "model)"
        )
    if settings.encoder_settings and settings.encoder is None:
        raise ConfigError("encoder_settings changes a pre-trained encoder: give encoder, or leave it out")
    if settings.start_from is not None:
        extractor = open_checkpoint(Burst2VecFeatureExtractor.from_pretrained, settings.start_from)
        adopt_setting(settings, "target_rms_db", extractor.target_rms_db)
        return extractor
    level = {"target_rms_db": settings.target_rms_db}
    if settings.encoder is not None:
        return Burst2VecFeatureExtractor.from_encoder(settings.encoder, **level)
    return Burst2VecFeatureExtractor.for_config(AutoConfig.for_model(**settings.encoder_config), **level)


def build_model(settings: ModelSettings, tasks: list[Task]) -> Burst2VecForMultiTask:
    """The model to train, from a saved one, a pre-trained encoder or a description of one.

    Raises:
        CheckpointError: if `start_from` cannot be opened.
        ConfigError: if the saved model has other tasks.
    """
    if settings.start_from is not None:
        return open_saved(settings, tasks)
    fields = {name: getattr(settings, name) for name in CONFIG_FIELDS} | {"tasks": tasks}
    if settings.encoder is not None:
        return Burst2VecForMultiTask.from_encoder(
            settings.encoder, encoder_settings=settings.encoder_settings, **fields
        )
    return Burst2VecForMultiTask(Burst2VecConfig(encoder=AutoConfig.for_model(**settings.encoder_config), **fields))


def open_saved(settings: ModelSettings, tasks: list[Task]) -> Burst2VecForMultiTask:
    model = Burst2VecForMultiTask.from_pretrained(settings.start_from, dtype=torch.float32)
    for name in CONFIG_FIELDS:
        adopt_setting(settings, name, getattr(model.config, name))
    if parse_tasks(model.config.tasks) != tasks:
        saved = ", ".join(task["name"] for task in model.config.tasks)
        raise ConfigError(
            f"start_from {settings.start_from!r} has the tasks {saved}, in part or whole other ones than the settings: give the "
            "same names, kinds, labels and ranges in the same order"
        )
    return model


def adopt_setting(settings: ModelSettings, name: str, saved: Any) -> None:
    """Puts what a saved model has in the place of a setting; one that was set otherwise would go unheard."""
    given, default = getattr(settings, name), ModelSettings.__dataclass_fields__[name].default
    if given not in (default, saved):
        raise ConfigError(
            f"{name} is {given!r}, but the model of start_from has {saved!r}, which holds: leave {name} out"
        )
    setattr(settings, name, saved)


def build_datasets(
    settings: DataSettings, tasks: list[Task], extractor: Burst2VecFeatureExtractor, seed: int
) -> dict[str, MultiTaskDataset]:
    """The splits of the corpus, ready for the trainer; Train is cropped and, if asked, augmented and oversampled."""
    augmentation = ClipAugmentation(settings.augmentation) if settings.augmentation else None
    corpus = load_corpus(settings.corpus, settings.data_dir, tasks, settings.audio)
    if settings.oversample:
        corpus["train"] = oversample(corpus["train"], tasks, settings.max_repeats, seed)
    rate = extractor.sampling_rate
    cache = AudioCache(settings.cache_dir, settings.cache_gigabytes, rate) if settings.cache_dir else None
    datasets = {}
    for split, clips in corpus.items():
        crop = settings.max_seconds if split == "train" else None
        load = cache.load if cache else load_audio
        augment = augmentation if split == "train" else None
        dataset = MultiTaskDataset(clips, tasks, load, rate, max_seconds=crop, seed=seed, augmentation=augment)
        if settings.skip_bad:
            dataset, messages = dataset.skip_unreadable()
            print(
                "".join(f"skipped: {message}\n" for message in messages[:3]) + f"{split}: {len(messages)} clips skipped"
            )
        datasets[split] = dataset
    if settings.shuffle_labels:
        datasets["train"] = datasets["train"].with_shuffled_labels(seed)
    return datasets


def encode_once(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    datasets: dict[str, MultiTaskDataset],
    args: MultiTaskTrainingArguments,
    settings: DataSettings,
) -> dict[str, MultiTaskDataset]:
    """The splits, standing for what the frozen part of the encoder made of them."""
    if args.trainable_encoder_layers is not None:
        model.freeze_encoder(args.trainable_encoder_layers)
    folder = Path(settings.cache_dir or args.output_dir) / "states"
    with args.main_process_first(desc="encoding"):
        return {
            split: encode_lower_layers(
                model, dataset, extractor, folder, settings.cache_gigabytes, PassSettings.from_arguments(args)
            )
            for split, dataset in datasets.items()
        }


def train_heads_first(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    datasets: dict[str, MultiTaskDataset],
    args: MultiTaskTrainingArguments,
    settings: RunSettings,
    resume: str | None,
) -> dict[str, dict[str, float]]:
    """Trains everything but the encoder, on one pass of the encoder over the corpus, and leaves the best in the model.

    Returns:
        `dict`: the frozen head's scores per split.

    Raises:
        ConfigError: if Train is augmented and no stage follows that would learn from its clips.
    """
    if (
        settings.heads_first_epochs
        and getattr(datasets["train"].source, "augmentation", None) is not None
        and args.num_train_epochs <= 0
    ):
        raise ConfigError(
            "augmentation changes nothing where num_train_epochs is 0, because the heads learn on one pass of the "
            "encoder over unchanged clips: leave augmentation out, or train for an epoch or more"
        )
    stage_args = copy.deepcopy(args)
    stage_args.output_dir = str(Path(args.output_dir) / "frozen_head")
    scores_file = Path(stage_args.output_dir) / "results.json"
    if resume is not None:
        # Its weights are in the checkpoint that the next stage goes on from.
        return json.loads(scores_file.read_text())
    stage_args.num_train_epochs = settings.heads_first_epochs
    stage_args.max_steps = -1
    stage_args.push_to_hub = False
    stage_args.learning_rate = settings.heads_first_learning_rate
    stage_args.encoder_learning_rate = None
    stage_args.lr_scheduler_type = SchedulerType.CONSTANT
    stage_args.warmup_steps = 0
    stage_args.task_batching = settings.heads_first_task_batching
    stage_args.dataloader_num_workers = 0
    stage_args.dataloader_prefetch_factor = None
    stage_args.trainable_encoder_layers = 0
    stage_args.eval_strategy = IntervalStrategy.EPOCH
    stage_args.save_strategy = SaveStrategy.EPOCH
    stage_args.save_total_limit = 1
    stage_args.load_best_model_at_end = True
    heads = copy.deepcopy(model)
    trainer = Burst2VecTrainer(heads, stage_args, extractor, datasets["train"], datasets["validation"])
    # One pass serves all epochs: over the clips as they are.
    pooled = {
        split: dataset.with_source(PooledStates(dataset.source.pooled))
        if isinstance(dataset.source, LowerStates)
        else trainer.pool_clips(dataset.with_source(dataset.source.without_augmentation()))
        for split, dataset in datasets.items()
    }
    trainer.train_dataset, trainer.eval_dataset = pooled["train"], pooled["validation"]
    trainer.train()
    trainer.save_state()
    scores = score_splits(trainer, pooled)
    scores_file.write_text(json.dumps(scores, indent=2) + "\n")
    model.load_state_dict(heads.state_dict())
    return scores


def score_splits(trainer: Burst2VecTrainer, datasets: dict[str, MultiTaskDataset]) -> dict[str, dict[str, float]]:
    """The scores of Val and Test, whichever the corpus has with labels; predictions are written beside them."""
    scores = {}
    folder = Path(trainer.args.output_dir) / "predictions"
    for split, title in SPLIT_TITLES.items():
        if split in datasets:
            output = trainer.predict(datasets[split], metric_key_prefix=title)
            named = {name.removeprefix(f"{title}_"): value for name, value in output.metrics.items()}
            scores[title] = only_scores(named)
            if trainer.is_world_process_zero():
                folder.mkdir(parents=True, exist_ok=True)
                np.savez(folder / f"{title}.npz", **output.predictions)
    return scores


def score_constant(tasks: list[Task], datasets: dict[str, MultiTaskDataset]) -> dict[str, dict[str, float]]:
    """What always predicting the same reaches."""
    labels = datasets["train"].labels
    return {
        title: score_split(tasks, constant_predictions(tasks, labels, len(datasets[split])), datasets[split].labels)
        for split, title in SPLIT_TITLES.items()
        if split in datasets
    }


def only_scores(metrics: dict[str, float]) -> dict[str, float]:
    """Metrics without losses and timings."""
    return {name: value for name, value in metrics.items() if name.endswith(("_ccc", "_uar", "_mae", "s_mtl"))}


def print_plan(trainer: Burst2VecTrainer) -> None:
    """Says before a long run what an epoch is."""
    if not trainer.is_world_process_zero():
        return
    sampler = trainer.train_batch_sampler()
    padding = padding_share(list(sampler), trainer.train_dataset.seconds)
    learning = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
    print(
        f"{len(sampler)} batches an epoch for {trainer.args.world_size} processes, {padding:.1%} of their audio is "
        f"padding; {learning:,} of {trainer.model.num_parameters():,} parameters learn"
    )


def score_rows(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """The rows of a table, by split and metric; the last one is the model's."""
    return {
        "constant prediction": results["constant"],
        **({"frozen head": results["frozen_head"]} if "frozen_head" in results else {}),
        "Burst2Vec": {title: results[title] for title in SPLIT_TITLES.values() if title in results},
    }


def print_results(results: dict) -> None:
    print_scores("Scores (Val was used for selection, Test was not)", score_rows(results))


def write_results(results: dict, *files: str | Path | None) -> None:
    for file in filter(None, files):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        write_whole(Path(file), json.dumps(results, indent=2) + "\n")


def find_checkpoint(args: MultiTaskTrainingArguments) -> str | None:
    """The checkpoint to go on from, where one was asked for: a folder, or `last` for the newest of the output folder."""
    asked = args.resume_from_checkpoint
    if asked in (None, "", False):
        return None
    folder = Path(args.output_dir) if asked == "last" else Path(asked)
    found = last_whole_checkpoint(folder) if asked == "last" else str(folder)
    if found is None or not (Path(found) / "trainer_state.json").is_file():
        raise CheckpointError(
            f"resume_from_checkpoint {asked!r}: no checkpoint of the Trainer in {folder}: check the folder"
        )
    return found


if __name__ == "__main__":
    try:
        main()
    except (ValueError, FloatingPointError) as error:
        if type(error).__module__.startswith("paravox.") or isinstance(error, FloatingPointError):
            sys.exit(f"{type(error).__name__}: {error}")
        raise
