"""Pre-finetune an encoder on one combination of emotion corpora, or on every one.

    accelerate launch recipes/prefinetuning/prefinetune.py recipes/prefinetuning/configs/open_corpora.yaml --data_dir DIR --encoder ENCODER
    accelerate launch recipes/prefinetuning/prefinetune.py CONFIG.yaml ... --combination emodb ravdess
    accelerate launch recipes/prefinetuning/prefinetune.py CONFIG.yaml ... --power_set

Every field below and every argument of the Trainer is a key of the YAML and an option of the command line. Each
combination leaves `output_dir/<combination>/`: `model/` (opens by from_pretrained; for wav2vec 2.0 also
`sequence_classification/<corpus>/`, which the stock class opens) and `results.json`. A combination that has these is
skipped, so that a power set that was stopped goes on where it was. `output_dir/results.json` has them all.
"""

import copy
import json
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from transformers import Wav2Vec2FeatureExtractor, set_seed

from paravox.corpora.audio_cache import AudioCache
from paravox.corpora.combinations import combination_name, merge_corpora, power_set
from paravox.corpora.registry import read_corpus
from paravox.corpora.splitting import split_clips
from paravox.evaluation.baselines import constant_predictions
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.audio import load_audio
from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_prefinetuning import PreFinetuningModel, Wav2Vec2ForPreFinetuning
from paravox.modeling.tasks import Task
from paravox.recipes.prefinetuning import few_shot
from paravox.runs.model_card import CardSettings, ModelCardCallback, card_facts, write_model_card
from paravox.runs.output_folder import claim_output_folder, last_whole_checkpoint, write_whole
from paravox.runs.settings import parse_settings
from paravox.study.encoding import model_around
from paravox.trainers.clip_pass import PassSettings
from paravox.trainers.lower_states import LowerStates, encode_lower_layers
from paravox.trainers.multi_task_dataset import MultiTaskDataset
from paravox.trainers.prefinetuning_trainer import PreFinetuningTrainer, PreFinetuningTrainingArguments
from paravox.trainers.publishing import MODEL_FOLDER, publish_run
from paravox.trainers.scoring import score_split

SPLIT_TITLES = {"validation": "val", "test": "test"}


@dataclass
class CorporaSettings:
    """The corpora, and how their clips are read and split."""

    corpora: list[str] = field(metadata={"help": "All corpora of the study; each is a folder of its name in data_dir."})
    data_dir: str = field(metadata={"help": "The folder that holds the corpora."})
    data_dirs: dict | None = field(
        default=None, metadata={"help": "The folders of corpora that lie elsewhere, such as {iemocap: /data/IEMOCAP}."}
    )
    corpus_options: dict | None = field(
        default=None, metadata={"help": "Options of a reader by corpus, such as {iemocap: {no_majority: other}}."}
    )
    split_by: str = field(
        default="speaker",
        metadata={
            "help": "speaker: the corpus's own split, or one without a speaker in two parts; random: 80/10/10 of the clips."
        },
    )
    folds: int = field(default=10, metadata={"help": "Into how many parts speakers are dealt; one is Test, one Val."})
    fold: int = field(default=0, metadata={"help": "Which part is Test."})
    max_seconds: float | None = field(
        default=None, metadata={"help": "Longer Train clips are cropped, anew each epoch."}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Keep decoded audio here, so that it is decoded once."}
    )
    cache_gigabytes: float = field(default=20.0, metadata={"help": "The most that the cache takes on disk."})


@dataclass
class PreFinetuningSettings:
    """The model, and which combinations of corpora it is trained on."""

    encoder: str = field(metadata={"help": "Folder or Hub name of the pre-trained encoder."})
    projection_size: int = field(default=256, metadata={"help": "Width of the projector that all corpora share."})
    combination: list[str] | None = field(
        default=None, metadata={"help": "The corpora of one combination; all of them by default."}
    )
    power_set: bool = field(
        default=False, metadata={"help": "Every combination of the corpora, skipping those that are finished."}
    )
    cache_lower_layers: bool = field(
        default=False,
        metadata={
            "help": "Run the layers that trainable_encoder_layers freezes once, and keep their states on disk in cache_dir "
            "(or output_dir), each split's of each corpus within cache_gigabytes."
        },
    )
    few_shot_config: str | None = field(
        default=None,
        metadata={"help": "Run the few-shot trials of this YAML on each combination before the next one begins."},
    )
    few_shot_data_dir: str | None = field(default=None, metadata={"help": "The folder of the few-shot corpus."})


def main(argv: list[str] | None = None) -> dict[str, dict]:
    """Runs the recipe with command line arguments, a YAML file first; gives the results by combination."""
    corpora_settings, settings, card_settings, args = parse_settings(
        (CorporaSettings, PreFinetuningSettings, CardSettings, PreFinetuningTrainingArguments), argv
    )
    if args.resume_from_checkpoint:
        raise ConfigError("resume_from_checkpoint is not needed: every combination goes on by itself where it was")
    if args.push_to_hub and settings.power_set:
        raise ConfigError("push_to_hub would give every combination one name: publish their folders by paravox publish")
    wanted = chosen_combinations(corpora_settings.corpora, settings)
    corpora = {name: open_corpus(name, corpora_settings, args.seed) for name in corpora_settings.corpora}
    output_dir = Path(args.output_dir)
    results = {}
    is_main = args.process_index == 0
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
                run_few_shot_trials(name, settings, output_dir)
    if is_main:
        (output_dir / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        print_results(results)
    return results


def chosen_combinations(corpora: list[str], settings: PreFinetuningSettings) -> list[tuple[str, ...]]:
    """The combinations that were asked for.

    Raises:
        ConfigError: if a combination names a corpus that is not among `corpora`, or both ways of choosing are used.
    """
    if settings.power_set and settings.combination:
        raise ConfigError("give either power_set or one combination, not both")
    if settings.power_set:
        return power_set(corpora)
    combination = settings.combination or corpora
    strange = [name for name in combination if name not in corpora]
    if strange:
        raise ConfigError(f"combination names {strange[0]!r}, the corpora are {', '.join(corpora)}: correct it")
    return [tuple(name for name in corpora if name in combination)]


def run_few_shot_trials(name: str, settings: PreFinetuningSettings, checkpoints_dir: Path) -> None:
    """Runs and stores the few-shot trials of one combination."""
    options = ["--encoder", settings.encoder, "--checkpoints_dir", str(checkpoints_dir), "--only", f"checkpoint={name}"]
    if settings.few_shot_data_dir:
        options += ["--data_dir", settings.few_shot_data_dir]
    few_shot.main([settings.few_shot_config, *options])


def open_corpus(name: str, settings: CorporaSettings, seed: int) -> tuple[Task, dict]:
    """One corpus: its task and its splits."""
    folder = (settings.data_dirs or {}).get(name, Path(settings.data_dir) / name)
    clips, task = read_corpus(name, folder, **(settings.corpus_options or {}).get(name, {}))
    return task, split_clips(clips, settings.split_by, settings.folds, settings.fold, seed)


def pre_finetune(
    corpora: dict[str, tuple[Task, dict]],
    corpora_settings: CorporaSettings,
    settings: PreFinetuningSettings,
    card_settings: CardSettings,
    args: PreFinetuningTrainingArguments,
    folder: Path,
) -> None:
    """Trains on one combination and leaves model and results in its folder; goes on from a checkpoint that is there."""
    started = time.time()
    args = copy.deepcopy(args)
    args.output_dir = str(folder)
    facts = card_facts(card_settings, args, settings.encoder, (corpora_settings, settings))
    set_seed(args.seed)
    tasks = [task for task, _ in corpora.values()]
    model = model_around(settings.encoder, tasks, settings.projection_size)
    extractor = Burst2VecFeatureExtractor.from_encoder(settings.encoder)
    datasets = build_datasets(corpora, corpora_settings, extractor.sampling_rate, args.seed)
    card = ModelCardCallback(model.config, facts, "prefinetuning.md")
    trainer = PreFinetuningTrainer(model, args, extractor, datasets["train"], datasets["validation"], callbacks=[card])
    if settings.cache_lower_layers:
        datasets = encode_corpora(corpora, corpora_settings, trainer, datasets)
        trainer.train_dataset, trainer.eval_dataset = datasets["train"], datasets["validation"]
    trainer.train(resume_from_checkpoint=last_whole_checkpoint(folder))
    trainer.save_state()
    results = {"corpora": list(corpora), "steps": trainer.state.global_step, "seed": args.seed, "constant": {}}
    for split, title in SPLIT_TITLES.items():
        metrics = trainer.predict(datasets[split], metric_key_prefix=title).metrics
        results[title] = {
            key.removeprefix(f"{title}_"): value
            for key, value in metrics.items()
            if key.endswith(("_uar", "_loss")) and not key.startswith(f"{title}_model")
        }
        labels = datasets[split].labels
        constant = constant_predictions(tasks, datasets["train"].labels, len(datasets[split]))
        results["constant"][title] = score_split(tasks, constant, labels)
    results["seconds"] = round(time.time() - started)
    if args.process_index == 0:
        save(model, extractor, folder)
        facts.scores = score_rows(results)
        write_model_card(folder / MODEL_FOLDER, "prefinetuning.md", model.config, facts)
        if args.push_to_hub:
            publish_run(folder / MODEL_FOLDER, args)
        # Last, because it says that the combination is finished.
        write_whole(folder / "results.json", json.dumps(results, indent=2) + "\n")
    trainer.accelerator.wait_for_everyone()


def encode_corpora(
    corpora: dict[str, tuple[Task, dict]],
    settings: CorporaSettings,
    trainer: PreFinetuningTrainer,
    datasets: dict[str, MultiTaskDataset],
) -> dict[str, MultiTaskDataset]:
    """The splits, standing for what the frozen part of the encoder made of them.

    Every corpus is encoded by itself, so that all combinations it takes part in find its states.
    """
    cache_dir = Path(settings.cache_dir or Path(trainer.args.output_dir).parent) / "states"
    how = PassSettings.from_arguments(trainer.args)
    parts: dict[str, list[LowerStates]] = {split: [] for split in datasets}
    for name, corpus in corpora.items():
        alone = build_datasets({name: corpus}, settings, trainer.processing_class.sampling_rate, trainer.args.seed)
        for split, dataset in alone.items():
            with trainer.args.main_process_first(desc="encoding"):
                encoded = encode_lower_layers(
                    trainer.model, dataset, trainer.processing_class, cache_dir, settings.cache_gigabytes, how
                )
            parts[split].append(encoded.source)
    return {split: dataset.with_source(LowerStates.join(parts[split])) for split, dataset in datasets.items()}


def build_datasets(
    corpora: dict[str, tuple[Task, dict]], settings: CorporaSettings, sampling_rate: int, seed: int
) -> dict[str, MultiTaskDataset]:
    """The splits of merged corpora, each corpus's clips in its own order behind those of the one before."""
    tasks = [task for task, _ in corpora.values()]
    cache = AudioCache(settings.cache_dir, settings.cache_gigabytes, sampling_rate) if settings.cache_dir else None
    return {
        split: MultiTaskDataset(
            clips,
            tasks,
            cache.load if cache else load_audio,
            sampling_rate,
            max_seconds=settings.max_seconds if split == "train" else None,
            seed=seed,
        )
        for split, clips in merge_corpora({name: parts for name, (_, parts) in corpora.items()}).items()
    }


def save(model: PreFinetuningModel, extractor: Burst2VecFeatureExtractor, folder: Path) -> None:
    """Writes the model, and for wav2vec 2.0 also a folder per corpus for the stock class."""
    model.save_pretrained(folder / MODEL_FOLDER)
    extractor.save_pretrained(folder / MODEL_FOLDER)
    if isinstance(model, Wav2Vec2ForPreFinetuning):
        for corpus in model.tasks:
            export = folder / "sequence_classification" / corpus
            model.save_for_sequence_classification(corpus, export)
            Wav2Vec2FeatureExtractor.from_dict(extractor.front_end).save_pretrained(export)


def score_rows(results: dict) -> dict[str, dict[str, dict[str, float]]]:
    """The recalls of one combination by split, under those of constant predictions: the rows of its card."""
    return {
        row: {
            title: {key: value for key, value in scores[title].items() if key.endswith("_uar")}
            for title in SPLIT_TITLES.values()
        }
        for row, scores in (("constant prediction", results["constant"]), ("pre-finetuned", results))
    }


def print_results(results: dict[str, dict]) -> None:
    """Recall of every corpus on Val and Test, a row a combination."""
    if not results:
        return
    widest = max(results.values(), key=lambda result: len(result["corpora"]))
    rows = {"constant prediction": widest["constant"], **results}
    only_recall = {
        name: {
            title: {key: value for key, value in row[title].items() if key.endswith("_uar")}
            for title in SPLIT_TITLES.values()
        }
        for name, row in rows.items()
    }
    print_scores("Unweighted average recall by pre-finetuning corpus", only_recall)


if __name__ == "__main__":
    try:
        main()
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
