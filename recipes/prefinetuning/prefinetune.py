r"""Pre-finetune an encoder on one combination of emotion corpora, or on every combination.

    accelerate launch recipes/prefinetuning/prefinetune.py recipes/prefinetuning/configs/open_corpora.yaml \
        --data_dir CORPORA --encoder ENCODER
    accelerate launch recipes/prefinetuning/prefinetune.py CONFIG.yaml ... --combination emodb ravdess
    accelerate launch recipes/prefinetuning/prefinetune.py CONFIG.yaml ... --power_set

Every option is also a key of the YAML file. Each combination leaves a folder `output_dir/<combination>/` with
`results.json` and `model/`, which opens by from_pretrained; for wav2vec 2.0 also `sequence_classification/<corpus>/`,
which the stock class opens. A combination that has these is skipped, so a power set that was stopped goes on where it
was. `output_dir/results.json` holds the results of all combinations.
"""

import copy
import json
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Wav2Vec2FeatureExtractor, set_seed

from paravox.corpora.audio_cache import AudioCache
from paravox.corpora.combinations import combination_name, power_set
from paravox.corpora.doubles import check_doubles
from paravox.corpora.merged_corpora import merge_corpora
from paravox.corpora.registry import emotion_tasks, read_corpus
from paravox.corpora.splitting import SPLITS, split_clips
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.score_names import SPLIT_TITLES, is_score, only_scores
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.errors import ConfigError, CorpusError, did_you_mean
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel, Wav2Vec2ForPreFinetuning
from paravox.modeling.tasks import Task
from paravox.runs.model_card import ModelCardCallback, card_facts, write_model_card
from paravox.runs.output_folder import claim_output_folder
from paravox.runs.program import run, start
from paravox.runs.program_settings import SETTINGS, CardSettings, CorporaSettings, PreFinetuningSettings
from paravox.runs.settings import parse_settings
from paravox.runs.training_checkpoints import last_whole_checkpoint
from paravox.runs.training_corpus import check_clips
from paravox.study.checkpoints import model_around
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.devices import device_line
from paravox.trainers.files import model_written_aside, write_text
from paravox.trainers.lower_states import LowerStates, encode_lower_layers
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.prefinetuning_arguments import PreFinetuningTrainingArguments
from paravox.trainers.prefinetuning_trainer import PreFinetuningTrainer
from paravox.trainers.publishing import MODEL_FOLDER, publish_run
from paravox.trainers.scoring import score_split

GO_ON = "start the same command again, which skips what is finished and goes on from the last checkpoint"


def main(argv: list[str] | None = None) -> dict[str, dict]:
    """Runs the program with command line arguments and returns the results by combination."""
    corpora_settings, settings, card_settings, args = parse_settings(
        SETTINGS["prefinetuning.prefinetune"], argv, __doc__
    )
    if args.resume_from_checkpoint:
        raise ConfigError("resume_from_checkpoint is not needed: every combination goes on by itself, so leave it out")
    if args.push_to_hub and settings.power_set:
        raise ConfigError(
            "push_to_hub would publish all combinations under one name: publish each folder with paravox publish"
        )
    is_main = args.process_index == 0
    if is_main:
        how = PassSettings.from_arguments(args)
        print(device_line(torch.device(how.device), how.dtype), file=sys.stderr)
    wanted = chosen_combinations(corpora_settings.corpora, settings)
    corpora = {name: open_corpus(name, corpora_settings, args.seed) for name in corpora_settings.corpora}
    output_dir = Path(args.output_dir)
    results = {}
    # One process of a run holds the folder for all of them.
    with claim_output_folder(output_dir, empty=False) if is_main else nullcontext():
        for number, combination in enumerate(wanted, start=1):
            name = combination_name(combination)
            done = output_dir / name / "results.json"
            print(f"combination {number} of {len(wanted)}: {name}{' (finished before)' if done.is_file() else ''}")
            if not combination:
                print("  the encoder as it is: nothing to train")
            elif not done.is_file():
                chosen = {corpus: corpora[corpus] for corpus in combination}
                pre_finetune(chosen, corpora_settings, settings, card_settings, args, output_dir / name)
            if combination:
                results[name] = json.loads(done.read_text())
            if settings.few_shot_config and is_main:
                run_few_shot_trials(name, settings, output_dir, args)
    if is_main:
        write_text(output_dir / "results.json", json.dumps(results, indent=2) + "\n")
        print_results(results)
    return results


def chosen_combinations(corpora: list[str], settings: PreFinetuningSettings) -> list[tuple[str, ...]]:
    """The combinations that the settings ask for.

    Raises:
        ConfigError: if a combination names a corpus that is not among `corpora`, or both ways of choosing are used.
    """
    if settings.power_set and settings.combination:
        raise ConfigError("power_set and combination are both given: leave one of them out")
    if settings.power_set:
        return power_set(corpora)
    combination = settings.combination or corpora
    unknown = [name for name in combination if name not in corpora]
    if unknown:
        raise ConfigError(f"combination: {unknown[0]!r} is not among the corpora: {did_you_mean(unknown[0], corpora)}")
    return [tuple(name for name in corpora if name in combination)]


def run_few_shot_trials(
    name: str, settings: PreFinetuningSettings, checkpoints_dir: Path, args: PreFinetuningTrainingArguments
) -> None:
    """Starts few_shot.py, which runs and stores the trials of one combination."""
    options = [
        settings.few_shot_config,
        "--encoder",
        settings.encoder,
        "--checkpoints_dir",
        str(checkpoints_dir),
        "--only",
        f"checkpoint={name}",
    ]
    if settings.few_shot_data_dir:
        options += ["--data_dir", settings.few_shot_data_dir]
    if args.use_cpu:
        options += ["--device", "cpu"]
    start("prefinetuning.few_shot", options)


def open_corpus(name: str, settings: CorporaSettings, seed: int) -> tuple[Task, dict]:
    """Reads a corpus and returns its task and its splits."""
    folder = (settings.data_dirs or {}).get(name, Path(settings.data_dir) / name)
    clips, task = read_corpus(name, folder, **(settings.corpus_options or {}).get(name, {}))
    splits = split_clips(clips, settings.split_by, settings.folds, settings.fold, seed)
    lacking = [split for split in SPLITS if split not in splits]
    if lacking:
        raise CorpusError(
            f"corpus {name!r} has no clips in {', '.join(lacking)}, which pre-finetuning needs: use split_by: random"
        )
    check_doubles(folder, splits, emotion_tasks(name))
    return task, splits


def pre_finetune(
    corpora: dict[str, tuple[Task, dict]],
    corpora_settings: CorporaSettings,
    settings: PreFinetuningSettings,
    card_settings: CardSettings,
    args: PreFinetuningTrainingArguments,
    folder: Path,
) -> None:
    """Trains on one combination, from its last checkpoint if it has one, and saves model and results in its folder."""
    started = time.time()
    args = copy.deepcopy(args)
    args.output_dir = str(folder)
    facts = card_facts(card_settings, args, settings.encoder, (corpora_settings, settings))
    set_seed(args.seed)
    tasks = [task for task, _ in corpora.values()]
    model = model_around(settings.encoder, tasks, settings.projection_size)
    extractor = Burst2VecFeatureExtractor.from_encoder(settings.encoder)
    datasets = build_datasets(corpora, corpora_settings, extractor.sampling_rate, args.seed)
    check_clips(datasets, extractor.max_seconds)
    card = ModelCardCallback(model.config, facts, "prefinetuning.md")
    trainer = PreFinetuningTrainer(model, args, extractor, datasets["train"], datasets["validation"], callbacks=[card])
    if settings.cache_lower_layers:
        datasets = encode_corpora(corpora, corpora_settings, trainer, datasets)
        trainer.train_dataset, trainer.eval_dataset = datasets["train"], datasets["validation"]
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder, say=args.process_index == 0))
    trainer.save_state()
    if args.process_index == 0:
        save(model, extractor, folder)
    results: dict[str, Any] = {
        "corpora": list(corpora),
        "steps": trainer.state.global_step,
        "seed": args.seed,
        "constant": {},
    }
    for split, title in SPLIT_TITLES.items():
        metrics = trainer.predict(datasets[split], metric_key_prefix=title).metrics
        results[title] = {
            key.removeprefix(f"{title}_"): value
            for key, value in metrics.items()
            if (is_score(key) or key.endswith("_loss")) and not key.startswith(f"{title}_model")
        }
        labels = datasets[split].labels
        constant = constant_predictions(tasks, datasets["train"].labels, len(datasets[split]))
        results["constant"][title] = score_split(tasks, constant, labels)
    results["seconds"] = round(time.time() - started)
    if args.process_index == 0:
        facts.scores = score_rows(results)
        write_model_card(folder / MODEL_FOLDER, "prefinetuning.md", model.config, facts)
        if args.push_to_hub:
            publish_run(folder / MODEL_FOLDER, args)
        # Last, because this file says that the combination is finished.
        write_text(folder / "results.json", json.dumps(results, indent=2) + "\n")
    trainer.accelerator.wait_for_everyone()


def encode_corpora(
    corpora: dict[str, tuple[Task, dict]],
    settings: CorporaSettings,
    trainer: PreFinetuningTrainer,
    datasets: dict[str, MultiTaskDataset],
) -> dict[str, MultiTaskDataset]:
    """The splits as the states that the frozen part of the encoder gives for their clips.

    Each corpus is encoded by itself, so that all combinations that contain it can read its states.
    """
    cache_dir = Path(settings.cache_dir or Path(trainer.args.output_dir).parent) / "states"
    how = PassSettings.from_arguments(trainer.args)
    extractor: Any = trainer.processing_class
    parts: dict[str, list[LowerStates]] = {split: [] for split in datasets}
    for name, corpus in corpora.items():
        alone = build_datasets({name: corpus}, settings, extractor.sampling_rate, trainer.args.seed)
        for split, dataset in alone.items():
            with trainer.args.main_process_first(desc="encoding"):
                encoded = encode_lower_layers(
                    trainer.model, dataset, extractor, cache_dir, settings.cache_gigabytes, how
                )
            parts[split].append(cast(LowerStates, encoded.source))
    return {split: dataset.with_source(LowerStates.join(parts[split])) for split, dataset in datasets.items()}


def build_datasets(
    corpora: dict[str, tuple[Task, dict]], settings: CorporaSettings, sampling_rate: int, seed: int
) -> dict[str, MultiTaskDataset]:
    """The splits of merged corpora. The clips of each corpus keep their order and follow those of the corpus before."""
    tasks = [task for task, _ in corpora.values()]
    cache = AudioCache(settings.cache_dir, settings.cache_gigabytes, sampling_rate) if settings.cache_dir else None
    return {
        split: MultiTaskDataset(
            clips,
            tasks,
            cache.load if cache else None,
            sampling_rate,
            max_seconds=settings.max_seconds if split == "train" else None,
            seed=seed,
        )
        for split, clips in merge_corpora({name: parts for name, (_, parts) in corpora.items()}).items()
    }


def save(model: PreFinetuningModel, extractor: Burst2VecFeatureExtractor, folder: Path) -> None:
    """Saves the model, and for wav2vec 2.0 also one folder per corpus for the stock class."""
    with model_written_aside(folder / MODEL_FOLDER) as part:
        model.save_pretrained(part)
        extractor.save_pretrained(part)
    if isinstance(model, Wav2Vec2ForPreFinetuning):
        for corpus in model.tasks:
            front_end: Any = Wav2Vec2FeatureExtractor.from_dict(extractor.front_end)
            with model_written_aside(folder / "sequence_classification" / corpus) as export:
                model.save_for_sequence_classification(corpus, export)
                front_end.save_pretrained(export)


def score_rows(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of a combination and of constant predictions by split: the rows of its card."""
    rows = {"constant prediction": results["constant"], "pre-finetuned": results}
    return {name: _scores_by_split(row) for name, row in rows.items()}


def print_results(results: dict[str, dict]) -> None:
    """Prints the recall on Val and Test with one row per combination."""
    if results:
        widest = max(results.values(), key=lambda result: len(result["corpora"]))
        rows = {"constant prediction": widest["constant"], **results}
        scores = {name: _scores_by_split(row) for name, row in rows.items()}
        print_scores("Unweighted average recall by pre-finetuning corpus", scores)


def _scores_by_split(row: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {title: only_scores(row[title]) for title in SPLIT_TITLES.values()}


if __name__ == "__main__":
    run(main, go_on=GO_ON)
