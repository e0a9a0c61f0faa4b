"""Train Burst2Vec on any corpus of clips.

    accelerate launch recipes/burst2vec/train.py SETTINGS.yaml --data_dir FOLDER --output_dir runs/mine
    accelerate launch recipes/burst2vec/train.py SETTINGS.yaml --resume_from_checkpoint last

Every option is also a key of the YAML file; two are enough, `tasks` and `encoder`. A run leaves in `output_dir`:
`model/`, which `from_pretrained` opens, `results.json`, `predictions/`, `log.jsonl`, and checkpoints to go on from.
"""

import copy
import dataclasses
import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed
from transformers.trainer_utils import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType

from paravox.corpora.audio_cache import AudioCache
from paravox.corpora.class_weights import with_balanced_weights, without_balanced_weights
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.encoders import parse_encoder_config
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.opening import open_checkpoint
from paravox.modeling.tasks import Task, parse_tasks
from paravox.runs.lora import ADAPTER_FOLDER, add_lora, save_adapters
from paravox.runs.machine import machine_name
from paravox.runs.model_card import CardFacts, ModelCardCallback, card_facts
from paravox.runs.output_folder import claim_output_folder
from paravox.runs.program import run
from paravox.runs.program_settings import SETTINGS, DataSettings, ModelSettings, RunSettings
from paravox.runs.results import score_constant, score_splits, write_results
from paravox.runs.settings import parse_settings
from paravox.runs.trained_model import leave_trained_model, save_model
from paravox.runs.training_checkpoints import find_checkpoint
from paravox.runs.training_corpus import read_splits
from paravox.runs.training_defaults import training_defaults, without_validation
from paravox.trainers.augmentation import ClipAugmentation
from paravox.trainers.burst2vec_trainer import Burst2VecTrainer
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.clip_sources import PooledStates
from paravox.trainers.lower_states import LowerStates, encode_lower_layers
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.multi_task_trainer import check_metric_name
from paravox.trainers.sampler import padding_share

GO_ON = "start the same command again with --resume_from_checkpoint last"
HEADS_FOLDER = "frozen_head"


# The settings of a model that its config has too.
CONFIG_FIELDS = (
    "projection_size",
    "feature_size",
    "dropout",
    "adversarial",
    "discriminator_weight",
    "adversarial_weight",
    "adversarial_scope",
    "gradient_reversal",
    "layer_weights",
    "task_weighting",
)
Datasets = dict[str, MultiTaskDataset]


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Runs the program with command line arguments, a YAML file first; returns the content of results.json."""
    started = time.time()
    model_settings, data_settings, run_settings, card_settings, args = parse_settings(
        SETTINGS["burst2vec.train"], argv, __doc__, training_defaults
    )
    if args.num_train_epochs <= 0 and not run_settings.heads_first_epochs:
        raise ConfigError(
            "num_train_epochs and heads_first_epochs are both 0, so nothing would learn: raise one of them"
        )
    if model_settings.lora is not None:
        check_lora(data_settings, args)
    output_dir = Path(args.output_dir)
    resume = find_checkpoint(args)
    # A run that is to go on, but had saved nothing, begins anew.
    anew = run_settings.overwrite or bool(args.resume_from_checkpoint)
    claim = claim_output_folder(output_dir, empty=resume is None, overwrite=anew)
    # One process of a run holds the folder for all of them.
    with claim if args.process_index == 0 else nullcontext():
        set_seed(args.seed)
        extractor = build_extractor(model_settings)
        tasks = parse_tasks(without_balanced_weights(model_settings.tasks))
        datasets = build_datasets(data_settings, tasks, extractor, args.seed)
        if "validation" not in datasets:
            args = without_validation(args)
        check_metric_name(tasks, args, datasets.get("validation"))
        tasks = parse_tasks(with_balanced_weights(model_settings.tasks, datasets["train"].labels))
        model = build_model(model_settings, tasks)
        facts = card_facts(card_settings, args, model_settings.encoder, (model_settings, data_settings, run_settings))
        results = {"constant": score_constant(tasks, datasets), "seed": args.seed}
        if data_settings.cache_lower_layers:
            datasets = encode_once(model, extractor, datasets, args, data_settings)
        if run_settings.heads_first_epochs:
            results[HEADS_FOLDER] = train_heads_first(model, extractor, datasets, args, run_settings, resume)
        if args.num_train_epochs > 0:
            results |= train(model, extractor, datasets, args, facts, resume, model_settings)
        else:
            results |= results[HEADS_FOLDER]
        results["seconds"] = round(time.time() - started)
        results["machine"] = machine_name(args.device)
        if args.process_index == 0:
            finish(model, extractor, args, facts, results, run_settings.output)
    return results


def train(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    datasets: Datasets,
    args: MultiTaskTrainingArguments,
    facts: CardFacts,
    resume: str | None,
    settings: ModelSettings,
) -> dict[str, dict[str, float]]:
    """Trains the model, saves it, and only then scores it; returns the scores by split."""
    adapted = add_lora(model, settings.lora) if settings.lora is not None else None
    card = ModelCardCallback(model.config, facts)
    trainer = Burst2VecTrainer(model, args, extractor, datasets["train"], datasets.get("validation"), callbacks=[card])
    print_plan(trainer)
    trainer.train(resume_from_checkpoint=resume)
    trainer.save_state()
    if adapted is not None:
        if trainer.is_world_process_zero():
            save_adapters(adapted, Path(args.output_dir) / ADAPTER_FOLDER, settings.encoder)
        adapted.merge_and_unload()
    if trainer.is_world_process_zero():
        save_model(model, extractor, args)
    return score_splits(trainer, datasets)


def check_lora(settings: DataSettings, args: MultiTaskTrainingArguments) -> None:
    """Raises [`ConfigError`] if a setting contradicts adapters in all layers of the encoder."""
    if args.trainable_encoder_layers is not None or settings.cache_lower_layers:
        raise ConfigError(
            "lora puts adapters into every layer of the encoder and freezes the rest: leave trainable_encoder_layers "
            "and cache_lower_layers out"
        )
    if args.num_train_epochs <= 0:
        raise ConfigError("lora learns nothing if num_train_epochs is 0: train for at least one epoch, or leave it out")
    if args.push_to_hub and args.hub_strategy != HubStrategy.END:
        raise ConfigError(
            "with lora, only the model at the end is whole, because checkpoints hold the adapters apart: set "
            "hub_strategy: end"
        )


def finish(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    args: MultiTaskTrainingArguments,
    facts: CardFacts,
    results: dict[str, Any],
    output: str | None,
) -> None:
    """Leaves the model with its card, the results and the table."""
    facts.scores = score_rows(results)
    facts.chosen_by_val = val_chose(args, results)
    leave_trained_model(model, extractor, args, facts, "burst2vec.md", results, output, HEADS_FOLDER)


def build_extractor(settings: ModelSettings) -> Burst2VecFeatureExtractor:
    """The feature extractor of a saved model, of a pre-trained encoder, or of one that is described."""
    given = [settings.start_from, settings.encoder, settings.encoder_config]
    if sum(source is not None for source in given) != 1:
        raise ConfigError(
            "give one of encoder (a folder or Hub name), encoder_config (a model_type and sizes) and start_from (a "
            "saved model)"
        )
    if settings.encoder_settings and settings.encoder is None:
        raise ConfigError("encoder_settings changes a pre-trained encoder: give encoder, or leave it out")
    if settings.start_from is not None:
        extractor = open_checkpoint(Burst2VecFeatureExtractor.from_pretrained, settings.start_from)
        adopt_setting(settings, "target_rms_db", extractor.target_rms_db)
        return extractor
    level: dict[str, Any] = {"target_rms_db": settings.target_rms_db}
    if settings.encoder is not None:
        return Burst2VecFeatureExtractor.from_encoder(settings.encoder, **level)
    return Burst2VecFeatureExtractor.for_config(parse_encoder_config(settings.encoder_config), **level)


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
    return Burst2VecForMultiTask(Burst2VecConfig(encoder=settings.encoder_config, **fields))


def open_saved(settings: ModelSettings, tasks: list[Task]) -> Burst2VecForMultiTask:
    model = Burst2VecForMultiTask.from_pretrained(settings.start_from, dtype=torch.float32)
    for name in CONFIG_FIELDS:
        adopt_setting(settings, name, getattr(model.config, name))
    if parse_tasks(model.config.tasks) != tasks:
        saved = ", ".join(task["name"] for task in model.config.tasks)
        raise ConfigError(
            f"start_from {settings.start_from!r} has the tasks {saved}, which are not those of the settings: give the "
            "same names, kinds, labels and ranges in the same order"
        )
    return model


def adopt_setting(settings: ModelSettings, name: str, saved: Any) -> None:
    """Replaces a setting by the saved model's; one that was set to something else would be silently ignored."""
    given, default = getattr(settings, name), ModelSettings.__dataclass_fields__[name].default
    if given not in (default, saved):
        raise ConfigError(
            f"{name} is {given!r}, but the model of start_from has {saved!r}, which is kept: leave {name} out"
        )
    setattr(settings, name, saved)


def build_datasets(
    settings: DataSettings, tasks: list[Task], extractor: Burst2VecFeatureExtractor, seed: int
) -> Datasets:
    """The splits of the corpus, ready for the trainer; Train is cropped, augmented and oversampled as asked for."""
    rate = extractor.sampling_rate
    cache = AudioCache(settings.cache_dir, settings.cache_gigabytes, rate) if settings.cache_dir else None
    augmentation = ClipAugmentation(settings.augmentation) if settings.augmentation else None
    return read_splits(
        settings,
        tasks,
        seed,
        rate,
        cache.load if cache else None,
        settings.max_seconds,
        augmentation,
        longest_seconds=extractor.max_seconds,
        decode=settings.check_clips,
    )


def encode_once(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    datasets: Datasets,
    args: MultiTaskTrainingArguments,
    settings: DataSettings,
) -> Datasets:
    """The splits after one pass of the frozen part of the encoder."""
    if args.trainable_encoder_layers is not None:
        model.freeze_encoder(args.trainable_encoder_layers)
    folder = Path(settings.cache_dir or args.output_dir) / "states"
    pass_settings = PassSettings.from_arguments(args)
    with args.main_process_first(desc="encoding"):
        return {
            split: encode_lower_layers(model, dataset, extractor, folder, settings.cache_gigabytes, pass_settings)
            for split, dataset in datasets.items()
        }


def train_heads_first(
    model: Burst2VecForMultiTask,
    extractor: Burst2VecFeatureExtractor,
    datasets: Datasets,
    args: MultiTaskTrainingArguments,
    settings: RunSettings,
    resume: str | None,
) -> dict[str, dict[str, float]]:
    """Trains everything but the encoder, on one pass of the encoder over the corpus, and leaves the best in the model.

    Returns:
        `dict`: the scores of the frozen head by split.

    Raises:
        ConfigError: if there is no Val that could choose the best, or Train is augmented and no stage follows that
            would learn from its clips.
    """
    if "validation" not in datasets:
        raise ConfigError(
            "heads_first_epochs needs a validation split, which chooses the epoch: add one or leave it out"
        )
    if getattr(datasets["train"].source, "augmentation", None) is not None and args.num_train_epochs <= 0:
        raise ConfigError(
            "augmentation changes nothing if num_train_epochs is 0, because the heads learn on one pass of the encoder "
            "over unchanged clips: leave augmentation out, or train for at least one epoch"
        )
    stage_args = heads_first_arguments(args, settings)
    scores_file = Path(stage_args.output_dir) / "results.json"
    if resume is not None:
        # The weights of this stage are in the checkpoint that the next stage goes on from.
        return read_scores(scores_file)
    heads = copy.deepcopy(model)
    trainer = Burst2VecTrainer(heads, stage_args, extractor, datasets["train"], datasets["validation"])
    # One pass serves all epochs, so it goes over the clips as they are.
    pooled = {
        split: dataset.with_source(PooledStates(dataset.source.pooled))
        if isinstance(dataset.source, LowerStates)
        else trainer.pool_clips(dataset.with_source(dataset.recordings.without_augmentation()))
        for split, dataset in datasets.items()
    }
    trainer.train_dataset, trainer.eval_dataset = pooled["train"], pooled["validation"]
    trainer.train()
    trainer.save_state()
    model.load_state_dict(heads.state_dict())
    if args.num_train_epochs <= 0 and trainer.is_world_process_zero():
        # No stage follows, and scoring may fail.
        save_model(model, extractor, args)
    scores = score_splits(trainer, pooled)
    write_results(scores, scores_file)
    return scores


def read_scores(file: Path) -> dict[str, dict[str, float]]:
    """The scores that the heads-first stage has left.

    Raises:
        CheckpointError: if there are none that can be read.
    """
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the scores of the stage heads_first_epochs in {file} cannot be read ({error}), although a later stage "
            "has checkpoints: leave heads_first_epochs out, or start anew with --overwrite true"
        ) from None


def heads_first_arguments(args: MultiTaskTrainingArguments, settings: RunSettings) -> MultiTaskTrainingArguments:
    """The arguments of the heads-first stage: those of the run, but for what concerns the encoder and the schedule."""
    return dataclasses.replace(
        args,
        output_dir=str(Path(args.output_dir) / HEADS_FOLDER),
        num_train_epochs=settings.heads_first_epochs,
        max_steps=-1,
        learning_rate=settings.heads_first_learning_rate,
        encoder_learning_rate=None,
        lr_scheduler_type=SchedulerType(settings.heads_first_lr_scheduler_type),
        warmup_steps=0,
        task_batching=settings.heads_first_task_batching,
        task_batch_sizes=None if settings.heads_first_task_batching == "all_tasks" else args.task_batch_sizes,
        trainable_encoder_layers=0,
        eval_strategy=IntervalStrategy.EPOCH,
        save_strategy=SaveStrategy.EPOCH,
        save_total_limit=1,
        load_best_model_at_end=True,
        push_to_hub=False,
    )


def print_plan(trainer: Burst2VecTrainer) -> None:
    """Says before a long run how large it is."""
    if not trainer.is_world_process_zero():
        return
    sampler = trainer.train_batch_sampler()
    padding = padding_share(list(sampler), trainer.train_dataset.seconds)
    learning = sum(parameter.numel() for parameter in trainer.model.parameters() if parameter.requires_grad)
    processes = f" over {trainer.args.world_size} processes" if trainer.args.world_size > 1 else ""
    print(
        f"{len(trainer.train_dataset):,} Train clips in {len(sampler):,} batches per epoch{processes}; {padding:.1%} "
        f"of their audio is padding. {learning:,} of {trainer.model.num_parameters():,} parameters learn."
    )


def score_rows(results: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """The rows of a table, by split and metric; the last one is the model's."""
    return {
        "constant prediction": results["constant"],
        **({"frozen head": results[HEADS_FOLDER]} if HEADS_FOLDER in results else {}),
        "Burst2Vec": {title: results[title] for title in ("val", "test") if title in results},
    }


def val_chose(args: MultiTaskTrainingArguments, results: dict[str, Any]) -> bool:
    """Whether scores on Val chose the epoch that the model is from. The heads-first stage always chooses."""
    return "val" in results and (args.load_best_model_at_end or args.num_train_epochs <= 0)


if __name__ == "__main__":
    run(main, go_on=GO_ON)
