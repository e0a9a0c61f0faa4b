"""The settings of the programs that read a YAML file: keys of the file and options of the command line.

They stand here, and not in the programs, because --help shows them without the seconds that the libraries of a program
take to import.
"""

from dataclasses import dataclass, field

from paravox.modeling.errors import ConfigError
from paravox.study.executors import EXECUTORS
from paravox.study.grid import StudySettings
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.prefinetuning_arguments import PreFinetuningTrainingArguments
from paravox.trainers.sampler import TASK_BATCHING

CORPUS_KEYS = {"name", "what", "license", "url", "hub_id"}


@dataclass
class CorpusSettings:
    """The corpus."""

    data_dir: str = field(metadata={"help": "Folder of the corpus; for corpus: dataset also a Hub name."})
    corpus: str = field(
        default="metadata_csv",
        metadata={
            # The names are written out, because the readers take seconds to import.
            "help": "One of exvo, metadata_csv, class_folders, dataset, iemocap, msp_improv, msp_podcast, masc, esd, "
            "emodb, ased, turev, ravdess."
        },
    )
    corpus_options: dict | None = field(
        default=None, metadata={"help": "Options of the corpus's reader, such as {no_majority: other}."}
    )
    audio: str = field(default="provided", metadata={"help": "Which recordings of ExVo to read: provided or raw."})
    oversample: bool = field(default=False, metadata={"help": "Repeat Train rows until all strata have one size."})
    max_repeats: int = field(default=10, metadata={"help": "The most often that oversampling uses a row."})
    shuffle_labels: bool = field(default=False, metadata={"help": "Shuffle the labels of Train, for a control."})
    skip_bad: bool = field(default=False, metadata={"help": "Leave out clips that cannot be read."})


@dataclass
class CardSettings:
    """What only you know about the model, for its card."""

    card_base_model: str | None = field(
        default=None, metadata={"help": "Hub name of the encoder, if encoder is a folder of yours."}
    )
    card_corpora: list[dict] = field(
        default_factory=list,
        metadata={"help": "The corpora: a list, each with name and, if known, what, license, url and hub_id."},
    )
    card_license: str | None = field(
        default=None, metadata={"help": "Licence of the weights as the Hub names it, such as cc-by-nc-4.0."}
    )
    card_synthetic: bool = field(default=False, metadata={"help": "Whether all training audio is synthetic."})

    def __post_init__(self) -> None:
        for corpus in self.card_corpora:
            if not isinstance(corpus, dict) or "name" not in corpus or not corpus.keys() <= CORPUS_KEYS:
                raise ConfigError(
                    f"card_corpora holds {corpus!r}: give each a name and any of what, license, url and hub_id"
                )


@dataclass
class ModelSettings:
    """The model: an encoder and the layers on top of it."""

    tasks: list[dict] = field(
        metadata={"help": "Name, kind (intensities, scalar, classes), and labels or range of each task."}
    )
    encoder: str | None = field(default=None, metadata={"help": "Folder or Hub name of a pre-trained encoder."})
    encoder_settings: dict | None = field(
        default=None, metadata={"help": "Fields of the encoder's config to change, such as {attention_dropout: 0.1}."}
    )
    encoder_config: dict | None = field(
        default=None, metadata={"help": "Instead of encoder: model_type and sizes of one with random weights."}
    )
    start_from: str | None = field(
        default=None, metadata={"help": "Instead of encoder: a saved model of the same tasks, whose settings are kept."}
    )
    projection_size: int = field(default=256, metadata={"help": "Width of the projected representation."})
    feature_size: int = field(default=256, metadata={"help": "Width of the other representations."})
    dropout: float = field(default=0.1, metadata={"help": "Dropout in the projection and the extractors."})
    adversarial: bool = field(default=True, metadata={"help": "Adversarial debiasing; false is the paper's -Adv."})
    discriminator_weight: float = field(default=0.5, metadata={"help": "Alpha 1 of equation 8."})
    adversarial_weight: float = field(default=0.25, metadata={"help": "Alpha 2 of equation 8."})
    adversarial_scope: str = field(
        default="encoder", metadata={"help": "How far a reversed gradient flows: encoder or extractor."}
    )
    gradient_reversal: bool = field(
        default=True, metadata={"help": "With false, the adversarial losses are kept as auxiliary ones."}
    )
    layer_weights: bool = field(default=False, metadata={"help": "Learn a weighted mean of all encoder layers."})
    task_weighting: str = field(
        default="equal", metadata={"help": "Weights of the tasks: equal or variances (learned)."}
    )
    lora: dict | None = field(
        default=None,
        metadata={"help": "Train adapters in the encoder instead of its weights: {r: 8}."},
    )
    target_rms_db: float | None = field(default=None, metadata={"help": "Level of every clip in dB of full scale."})


@dataclass
class DataSettings(CorpusSettings):
    """The corpus and how its clips are read."""

    max_seconds: float | None = field(default=None, metadata={"help": "Crop longer Train clips, anew each epoch."})
    augmentation: list[dict] = field(
        default_factory=list,
        metadata={"help": "Transforms of audiomentations for Train clips, such as [{transform: Gain, p: 0.5}]."},
    )
    check_clips: bool = field(
        default=False,
        metadata={"help": "Decode all clips before the first step."},
    )
    cache_dir: str | None = field(default=None, metadata={"help": "Keep decoded audio in this folder."})
    cache_gigabytes: float = field(default=20.0, metadata={"help": "The most disk space that a cache takes."})
    cache_lower_layers: bool = field(
        default=False, metadata={"help": "Run frozen encoder layers once and keep their states on disk."}
    )


@dataclass
class RunSettings:
    """The stages of a run and what it leaves."""

    heads_first_epochs: int = field(
        default=0, metadata={"help": "First train the rest on the frozen encoder for so many epochs."}
    )
    heads_first_task_batching: str = field(
        default="round_robin", metadata={"help": "task_batching of that stage.", "choices": list(TASK_BATCHING)}
    )
    heads_first_learning_rate: float = field(default=1e-3, metadata={"help": "Learning rate of that stage."})
    heads_first_lr_scheduler_type: str = field(
        default="linear",
        metadata={"help": "Schedule of that learning rate.", "choices": ["constant", "linear", "cosine"]},
    )
    output: str | None = field(default=None, metadata={"help": "Also write results.json to this file."})
    overwrite: bool = field(default=False, metadata={"help": "Remove the checkpoints of an earlier run first."})


@dataclass
class BaselineSettings:
    """The model."""

    tasks: list[dict] = field(
        metadata={"help": "Name, kind (intensities, scalar, classes), and labels or range of each task."}
    )
    shared_sizes: list[int] = field(
        default_factory=lambda: [128, 64], metadata={"help": "Widths of the layers that all tasks share."}
    )
    head_sizes: list[int] = field(
        default_factory=lambda: [32], metadata={"help": "Widths of each task's own layers before its outputs."}
    )


@dataclass
class FunctionalsSettings(CorpusSettings):
    """The corpus and where its functionals are kept."""

    cache_dir: str | None = field(
        default=None, metadata={"help": "Keep the functionals in this folder (default: functionals/ in output_dir)."}
    )


@dataclass
class BaselineRunSettings:
    """What a run leaves."""

    output: str | None = field(default=None, metadata={"help": "Also write results.json to this file."})
    overwrite: bool = field(default=False, metadata={"help": "Remove the checkpoints of an earlier run first."})


@dataclass
class CorporaSettings:
    """The corpora, and how their clips are read and split."""

    corpora: list[str] = field(
        metadata={"help": "All corpora of the study. Each is a folder of that name in data_dir."}
    )
    data_dir: str = field(metadata={"help": "The folder that holds the corpora."})
    data_dirs: dict | None = field(
        default=None, metadata={"help": "The folders of corpora that are elsewhere, such as {iemocap: /data/IEMOCAP}."}
    )
    corpus_options: dict | None = field(
        default=None, metadata={"help": "The options of a corpus's reader, such as {iemocap: {no_majority: other}}."}
    )
    split_by: str = field(
        default="speaker",
        metadata={
            "help": "speaker takes the corpus's own split, or makes one without a speaker in two parts. random "
            "takes 80, 10 and 10 percent of the clips."
        },
    )
    folds: int = field(
        default=10, metadata={"help": "The number of parts that speakers are split into. One part is Test, one Val."}
    )
    fold: int = field(default=0, metadata={"help": "The part that is Test, counted from 0."})
    max_seconds: float | None = field(
        default=None, metadata={"help": "Longer Train clips are cropped to this length, at a new place each epoch."}
    )
    cache_dir: str | None = field(
        default=None, metadata={"help": "Decoded audio is kept in this folder, so that it is decoded only once."}
    )
    cache_gigabytes: float = field(default=20.0, metadata={"help": "The largest size of the cache on disk."})


@dataclass
class PreFinetuningSettings:
    """The model, and which combinations of corpora it is trained on."""

    encoder: str = field(metadata={"help": "Folder or Hub name of the pre-trained encoder."})
    projection_size: int = field(default=256, metadata={"help": "The width of the projector that all corpora share."})
    combination: list[str] | None = field(
        default=None, metadata={"help": "The corpora of one combination. By default all corpora."}
    )
    power_set: bool = field(
        default=False, metadata={"help": "Train on every combination of the corpora that is not finished."}
    )
    cache_lower_layers: bool = field(
        default=False,
        metadata={
            "help": "Run the layers that trainable_encoder_layers freezes only once, and keep their states in "
            "cache_dir or output_dir. The states of one split of one corpus take at most cache_gigabytes."
        },
    )
    few_shot_config: str | None = field(
        default=None,
        metadata={"help": "Run the few-shot trials of this YAML file on each combination before the next one begins."},
    )
    few_shot_data_dir: str | None = field(default=None, metadata={"help": "The folder of the few-shot corpus."})


@dataclass
class StudyRunSettings:
    """Where everything is, and who runs the trials."""

    data_dir: str | None = field(default=None, metadata={"help": "The folder of the few-shot corpus."})
    encoder: str | None = field(default=None, metadata={"help": "Folder or Hub name of the encoder as downloaded."})
    checkpoints_dir: str | None = field(
        default=None, metadata={"help": "The output_dir of prefinetune.py, which holds one folder per combination."}
    )
    output_dir: str = field(
        default="runs/few_shot", metadata={"help": "The folder of results.sqlite and of the hidden states."}
    )
    executor: str = field(
        default="inline",
        metadata={
            "help": "Who runs the trials: this process (inline), local processes, or a Ray cluster.",
            "choices": list(EXECUTORS),
        },
    )
    device: str | None = field(
        default=None,
        metadata={"help": "Where the models run, such as cuda:1 or cpu. By default cuda, then mps, then cpu."},
    )
    dtype: str | None = field(
        default=None,
        metadata={
            "help": "Precision of the encoder: float32, bfloat16 or, in modes head and adapt, float16. By default "
            "bfloat16 on a CUDA device that has it, otherwise float32."
        },
    )
    trials_per_device: int = field(
        default=1,
        metadata={
            "help": "How many jobs share a device, each in a process of its own. With more than 1, executor inline "
            "becomes processes. A job is a trial, in mode head all trials of a checkpoint, "
            "and in mode adapt those of a speaker."
        },
    )
    processes: int = field(
        default=0,
        metadata={
            "help": "How many jobs run at the same time. By default trials_per_device for each device; on Ray as many "
            "as the cluster has room for."
        },
    )
    threads: int = field(
        default=0,
        metadata={"help": "Threads per process. By default the processes share all cores evenly; on Ray each has one."},
    )
    only: list[str] | None = field(
        default=None, metadata={"help": "Run only these trials, such as --only checkpoint=none k=2,8 speaker=0011."}
    )
    resume_from: str | None = field(
        default=None, metadata={"help": "First import the trials of a csv.gz that an earlier run wrote with --output."}
    )
    output: str | None = field(
        default=None, metadata={"help": "At the end write all trials of results.sqlite into this one csv.gz file."}
    )
    dry_run: bool = field(default=False, metadata={"help": "Count the trials without running any."})


SETTINGS = {
    "burst2vec.train": (ModelSettings, DataSettings, RunSettings, CardSettings, MultiTaskTrainingArguments),
    "burst2vec.train_compare": (
        BaselineSettings,
        FunctionalsSettings,
        BaselineRunSettings,
        CardSettings,
        MultiTaskTrainingArguments,
    ),
    "prefinetuning.prefinetune": (CorporaSettings, PreFinetuningSettings, CardSettings, PreFinetuningTrainingArguments),
    "prefinetuning.few_shot": (StudySettings, StudyRunSettings),
}
"""The settings of each program, by its module in `paravox.recipes`."""
