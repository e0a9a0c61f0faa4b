"""The card of a model: what it predicts, what it must not be used for, how well it does, and how it was made."""

import re
from collections.abc import Iterable
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from importlib.metadata import version
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import quote

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, ModelCard, ModelCardData, eval_result_entries_to_yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from markupsafe import Markup
from transformers import TrainerCallback, TrainingArguments

import paravox
from paravox import model_cards
from paravox.evaluation.card_figures import plot_training_curves
from paravox.evaluation.figure_style import figure_may_fail
from paravox.evaluation.score_names import SPLIT_TITLES, column_title, only_scores
from paravox.modeling.tasks import Task, parse_tasks
from paravox.runs.program_settings import CORPUS_KEYS, CardSettings
from paravox.trainers.files import write_text
from paravox.trainers.private_content import find_private
from paravox.trainers.publishing import MODEL_FOLDER

PIPELINE_TAG = "audio-classification"
SPLIT_NAMES = {title: split for split, title in SPLIT_TITLES.items()}
# Longer than in tables: the Hub shows them without a legend.
METRIC_NAMES = {"ccc": "CCC", "uar": "UAR (macro recall)", "mae": "mean absolute error"}
_PACKAGES = ("torch", "transformers", "datasets", "accelerate", "huggingface_hub", "numpy")


# These settings say nothing about how a model was made: places on this machine, names and secrets of the Hub, and what
# a run prints and keeps.
_NOT_ON_A_CARD = re.compile(
    "data_dir|cache_dir|output|encoder$|start_from|resume|overwrite|hub_|push_to_hub|card_|logging|report_to|save_|run_name|"
    "dataloader|tasks$|num_workers|disable_tqdm|log_|accelerator_config|debug|do_eval|_checkpointing|few_shot|local_rank"
)


# The settings of a transform that name a file or a folder, as audiomentations calls them.
_NAMES_A_PLACE = re.compile("path|dir|folder|file")
# What Markdown and HTML would take for more than a text.
_ESCAPED = {"\\": r"\\", "&": "&amp;", "<": "&lt;", ">": "&gt;", "[": r"\[", "]": r"\]", "|": r"\|", "`": r"\`"}
_SAFE = ":/?#@!$&'*+,;=%~"  # of an address


@dataclass
class CardFacts:
    """What a card says that neither the model nor the log of the run knows.

    Args:
        repo_id (`str`): the name under which the model is used.
        base_model (`str` or list of `str`, *optional*): the encoder, or the members' encoders, by Hub name.
        corpora (list of `dict`): each with `name` and, where known, `what`, `license`, `url` and, if it is on the Hub,
            `hub_id`.
        license (`str`, *optional*): of the weights, as the Hub calls it.
        synthetic (`bool`): whether all that was trained on is synthetic.
        settings (`dict`): the settings that differ from their defaults.
        default_settings (`dict`): the settings that do not.
        chosen_by_val (`bool`): whether scores on Val chose which epoch was kept.
        scores (`dict`): by row, split (`val`, `test`) and metric; the last row is the model's.
        figures (list of `dict`): each with `title` and `file`, a name in `figures/`.
        adaptation ([`Adaptation`], *optional*): how a model was adapted to a few clips.
    """

    repo_id: str
    base_model: str | list[str] | None = None
    corpora: list[dict[str, str]] = field(default_factory=list)
    license: str | None = None
    synthetic: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    default_settings: dict[str, Any] = field(default_factory=dict)
    chosen_by_val: bool = True
    scores: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    figures: list[dict[str, str]] = field(default_factory=list)
    adaptation: Any = None


def card_facts(card: CardSettings, args: TrainingArguments, encoder: str | None, groups: Iterable[Any]) -> CardFacts:
    """Collects what is known of a model before it trains.

    Args:
        card ([`CardSettings`]).
        args ([`TrainingArguments`]): listed only where they differ from the defaults.
        encoder (`str`, *optional*): folder or Hub name of the encoder.
        groups: the other dataclasses of settings of the program.
    """
    differing: dict[str, Any] = {}
    default: dict[str, Any] = {}
    for group in (*groups, args):
        for setting in fields(group):
            if not setting.init or _NOT_ON_A_CARD.search(setting.name):
                continue
            value = getattr(group, setting.name)
            value = _without_places(value.value if isinstance(value, Enum) else value)
            usual = setting.default if setting.default_factory is MISSING else setting.default_factory()
            usual = usual.value if isinstance(usual, Enum) else usual
            if value != usual:
                differing[setting.name] = value
            elif group is not args:
                default[setting.name] = value
    base_model = card.card_base_model
    if base_model is None and encoder is not None and not Path(encoder).exists():
        base_model = encoder
    return CardFacts(
        repo_id=args.hub_model_id or Path(args.output_dir).absolute().name,
        base_model=base_model,
        corpora=card.card_corpora,
        license=card.card_license,
        synthetic=card.card_synthetic,
        settings=differing,
        default_settings=default,
        chosen_by_val=bool(args.load_best_model_at_end),
    )


class ModelCardCallback(TrainerCallback):
    """Keeps the card in `output_dir/model/` up to date: with every push, and at the end of training.

    Args:
        config: the model's.
        facts ([`CardFacts`]): may be completed while the model trains.
        template (`str`, *optional*, defaults to `"burst2vec.md"`): a file of `model_cards/`.
    """

    def __init__(self, config: Any, facts: CardFacts, template: str = "burst2vec.md") -> None:
        self.config = config
        self.facts = facts
        self.template = template

    def on_push_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.write(args, state)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.write(args, state)

    def write(self, args: Any, state: Any) -> None:
        """Writes the card with what is known by now: the scores of the last evaluation until there are final ones."""
        if not state.is_world_process_zero:
            return
        folder = Path(args.output_dir) / MODEL_FOLDER
        curves = {"title": "Training curves", "file": "training_curves.png"}
        with figure_may_fail("the figure of the training curves"):
            plotted = plot_training_curves(state.log_history, folder / "figures" / curves["file"])
            if plotted and curves not in self.facts.figures:
                self.facts.figures.append(curves)
        interim = {} if self.facts.scores else last_evaluation(state.log_history)
        write_model_card(folder, self.template, self.config, self.facts, interim)


def last_evaluation(log_history: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of the last evaluation during training, as `scores` of [`CardFacts`]."""
    for entry in reversed(log_history):
        evaluated = {name.removeprefix("eval_"): value for name, value in entry.items() if name.startswith("eval_")}
        scores = only_scores(evaluated)
        if scores:
            return {f"at step {entry['step']}": {"val": scores}}
    return {}


def write_model_card(
    folder: Path,
    template: str,
    config: Any,
    facts: CardFacts,
    interim: dict[str, dict[str, dict[str, float]]] | None = None,
) -> Path:
    """Writes `README.md`, and `.eval_results/` for corpora that are on the Hub, into the folder of a model.

    Args:
        folder (`Path`): made if it is not there.
        template (`str`): a file of `model_cards/`.
        config: the model's.
        facts ([`CardFacts`]).
        interim (`dict`, *optional*): scores of a model that still trains, shown if there are no final ones.

    Returns:
        `Path`: of the card.
    """
    scores = facts.scores or interim or {}
    columns = list(dict.fromkeys((split, name) for row in scores.values() for split in row for name in row[split]))
    shown = {row: [splits.get(split, {}).get(name) for split, name in columns] for row, splits in scores.items()}
    environment = Environment(
        loader=FileSystemLoader(Path(model_cards.__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=_as_text,
    )
    tasks = parse_tasks(config.tasks)
    text = environment.get_template(template).render(
        vars(facts)
        | {
            "metadata": Markup(f"---\n{card_metadata(tasks, facts).to_yaml()}\n---"),
            "name": facts.repo_id.split("/")[-1],
            "corpora": [dict.fromkeys(CORPUS_KEYS) | corpus | {"url": _as_address(corpus)} for corpus in facts.corpora],
            "tasks": tasks,
            "adversarial": getattr(config, "adversarial", None),
            "members": getattr(config, "members", []),
            "scores": shown,
            "score_columns": [column_title(split, name) for split, name in columns],
            "validation_only": not facts.scores,
            "versions": {"paravox": paravox.__version__} | {package: version(package) for package in _PACKAGES},
        }
    )
    write_text(folder / "README.md", str(ModelCard(text)))
    write_eval_results(folder / ".eval_results", facts)
    return folder / "README.md"


def _as_text(value: Any) -> Any:
    """What a template shows: names and settings of the user as they are, and never as HTML, a link or a column."""
    if value is None or isinstance(value, (bool, int, float, Markup, Undefined)):
        return value
    text = " ".join(str(value).split())
    for character, shown in _ESCAPED.items():
        text = text.replace(character, shown)
    return text


def _as_address(corpus: dict[str, str]) -> str | None:
    """The address of a corpus, if it is one of the web, with nothing in it that would end the link."""
    url = str(corpus.get("url") or "")
    return quote(url, safe=_SAFE) if re.match(r"https?://[^\s/]", url, re.IGNORECASE) else None


def _without_places(value: Any) -> Any:
    """A setting without paths of this machine: each is shown by its last part."""
    if isinstance(value, dict):
        return {
            name: _last_part(one) if isinstance(one, str) and _NAMES_A_PLACE.search(name) else _without_places(one)
            for name, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without_places(one) for one in value]
    return _last_part(value) if isinstance(value, str) and find_private(value) else value


def _last_part(path: str) -> str:
    return PureWindowsPath(path).name  # which knows both kinds of slashes


def card_metadata(tasks: list[Task], facts: CardFacts) -> ModelCardData:
    """The card's front matter, with the model's scores as `model-index`."""
    kinds = sorted({task.kind for task in tasks})
    return ModelCardData(
        license=facts.license,
        library_name="transformers",
        pipeline_tag=PIPELINE_TAG,
        tags=["paravox", "speech-emotion-recognition", *kinds, *(["synthetic"] if facts.synthetic else [])],
        base_model=facts.base_model,
        datasets=[corpus["hub_id"] for corpus in facts.corpora if corpus.get("hub_id")] or None,
        model_name=facts.repo_id.split("/")[-1],
        eval_results=list(_eval_results(facts)) or None,
    )


def _eval_results(facts: CardFacts) -> Iterable[EvalResult]:
    names = ", ".join(corpus["name"] for corpus in facts.corpora) or "the corpus that it was trained on"
    hub_ids = [corpus.get("hub_id") for corpus in facts.corpora]
    for split, name, value in _model_scores(facts):
        yield EvalResult(
            task_type=PIPELINE_TAG,
            # The Hub wants an identifier even for a corpus that it does not have.
            dataset_type=hub_ids[0] if len(hub_ids) == 1 and hub_ids[0] else "local",
            dataset_name=names,
            dataset_split=SPLIT_NAMES[split],
            metric_type=name.rpartition("_")[2] if name != "s_mtl" else name,
            # The Hub joins all scores of one corpus and split, so the task can only be named here.
            metric_name=_metric_title(name),
            metric_value=round(value, 4),
        )


def _metric_title(name: str) -> str:
    task, _, metric = name.rpartition("_")
    return "S_MTL" if name == "s_mtl" else f"{task}: {METRIC_NAMES[metric]}"


def write_eval_results(folder: Path, facts: CardFacts) -> None:
    """Writes the scores in the Hub's newer form, if they belong to one corpus alone and it is on the Hub."""
    hub_ids = [corpus.get("hub_id") for corpus in facts.corpora]
    if len(hub_ids) != 1 or not hub_ids[0]:
        return
    entries = [
        EvalResultEntry(dataset_id=hub_ids[0], task_id=name, value=round(value, 4))
        for split, name, value in _model_scores(facts)
        if split == "test"
    ]
    file = folder / f"{hub_ids[0].replace('/', '--')}.yaml"
    write_text(file, yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False))


def _model_scores(facts: CardFacts) -> Iterable[tuple[str, str, float]]:
    """Split, name and value of each score of the model, which is in the last row."""
    for split, scores in (list(facts.scores.values())[-1] if facts.scores else {}).items():
        for name, value in scores.items():
            yield split, name, value
