"""What a training program leaves at its end: the model with its card, results.json, and a table on the terminal."""

from pathlib import Path
from typing import Any

from paravox.evaluation.card_figures import plot_scores
from paravox.evaluation.score_tables import print_scores
from paravox.modeling.tasks import parse_tasks
from paravox.runs.model_card import CardFacts, write_model_card
from paravox.runs.results import last_predictions, write_results
from paravox.trainers.files import model_written_aside
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments
from paravox.trainers.publishing import MODEL_FOLDER, publish_run


def save_model(model: Any, extractor: Any, args: MultiTaskTrainingArguments) -> Path:
    """Saves a model and its feature extractor to `output_dir/model/`, and returns this folder."""
    folder = Path(args.output_dir) / MODEL_FOLDER
    with model_written_aside(folder) as part:
        model.save_pretrained(part)
        extractor.save_pretrained(part)
    return folder


def leave_trained_model(
    model: Any,
    extractor: Any,
    args: MultiTaskTrainingArguments,
    facts: CardFacts,
    template: str,
    results: dict[str, Any],
    output: str | None = None,
    *first_stages: str,
) -> None:
    """Saves the model with its card, writes the results, prints the table and, if asked for, publishes the model.

    Args:
        model: what was trained.
        extractor: its feature extractor.
        args ([`MultiTaskTrainingArguments`]): of the run.
        facts ([`CardFacts`]): with `scores` by row; the last row is the model's.
        template (`str`): a file of `model_cards/`.
        results (`dict`): what results.json holds, with the scores of the model as `val` and `test`.
        output (`str`, *optional*): a second file for the results.
        first_stages (`str`): folders in `output_dir` whose predictions are shown if the run left none of its own.
    """
    output_dir = Path(args.output_dir)
    folder = save_model(model, extractor, args)
    scored = last_predictions(output_dir, *(output_dir / stage for stage in first_stages))
    if scored is not None:
        tasks = parse_tasks(model.config.tasks)
        figures = plot_scores(tasks, scored.predictions, scored.labels, folder / "figures")
        facts.figures = figures + [figure for figure in facts.figures if figure not in figures]
    write_model_card(folder, template, model.config, facts)
    # Before publishing, which the network may prevent.
    write_results(results, output_dir / "results.json", output)
    if args.push_to_hub:
        publish_run(folder, args)
    print_scores(_table_title(facts, results), facts.scores)
    print(f"The model is saved in {folder}.")


def _table_title(facts: CardFacts, results: dict[str, Any]) -> str:
    if "val" not in results and "test" not in results:
        return "The corpus has neither a validation nor a test split, so there are no scores"
    return "Scores (Val chose the epoch)" if facts.chosen_by_val else "Scores after the last epoch"
