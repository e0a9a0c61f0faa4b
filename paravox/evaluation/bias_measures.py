"""What the bias study measures: how far a predicted age goes by the country, means over seeds, the discriminator's curve."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from paravox.corpora.synthetic import BIASED_AGE
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.errors import CheckpointError

FROZEN_HEAD = "frozen_head"
DISCRIMINATOR = "discriminator_accuracy/"
MAX_POINTS = 60
# A spread below this share of the values' size is rounding of float32 predictions.
ROUNDING = 1e-6


def age_country_leak(predicted_ages: np.ndarray, true_ages: np.ndarray, countries: Sequence[str]) -> float:
    """How much the predicted ages go by the country, beyond what the true ages explain.

    The partial correlation of the prediction p with b = `BIASED_AGE[true country]`, the mean age that biased Train data
    tie to the country, given the true age a:

        leak = (r_pb - r_pa r_ab) / sqrt((1 - r_pa^2) (1 - r_ab^2))

    where r is Pearson's correlation over the clips. 1: all that the prediction holds beside the true age is the country's
    biased age; 0: nothing of it is. It says how consistently the prediction goes by the country, not by how many years.

    Args:
        predicted_ages (`np.ndarray` of shape `(clips,)`): in years.
        true_ages (`np.ndarray` of shape `(clips,)`): in years.
        countries (sequence of `str`): the true ones.

    Returns:
        `float`: from -1 to 1; 0 where the true age leaves nothing over of the prediction or of b.
    """
    tied = np.array([BIASED_AGE[country] for country in countries])
    rest, tied_rest = (_not_explained(values, true_ages) for values in (predicted_ages, tied))
    size = np.sqrt((rest @ rest) * (tied_rest @ tied_rest))
    return float(rest @ tied_rest / size) if size > 0 else 0.0


def _not_explained(values: np.ndarray, given: np.ndarray) -> np.ndarray:
    """What is left of values after their regression on others with an intercept; zeros if that is rounding alone."""
    values = np.asarray(values, np.float64)
    design = np.stack([np.ones(len(values)), np.asarray(given, np.float64)], axis=1)
    rest = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return rest if np.linalg.norm(rest) > ROUNDING * np.linalg.norm(values) else np.zeros_like(rest)


def mean_with_error(values: Sequence[float]) -> dict[str, float | None]:
    """Mean and standard error of the mean; one value alone has none."""
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    return {"mean": round(float(np.mean(values)), 4), "standard_error": None if error is None else round(error, 4)}


def read_discriminator(folder: Path) -> dict:
    """How often the discriminator was right over a finished run of train.py.

    The log's `discriminator_accuracy/<task>` are means over the batches of a task since the entry before, in training,
    against a shared extractor that learns to fool it. Their unweighted mean over the tasks is 1 / tasks for a guess that
    does not look at the clip, however many batches a task has; entries that lack a task are left out. Steps of a
    heads-first stage come first, and those of the next stage count on.

    Args:
        folder (`Path`): the output folder of the run.

    Returns:
        `dict`: `variant`, `chance`, and `steps` and `accuracy`, thinned by [`thin`].

    Raises:
        CheckpointError: if the folder holds no finished adversarial run.
    """
    logs = [place / "trainer_state.json" for place in (folder / FROZEN_HEAD, folder)]
    if not (folder / "results.json").is_file() or not any(log.is_file() for log in logs):
        raise CheckpointError(f"{folder} holds no finished run of train.py: give its output_dir")
    config = Burst2VecConfig.from_pretrained(folder / "model")
    keys = [f"{DISCRIMINATOR}{task['name']}" for task in config.tasks]
    steps, accuracy, earlier = [], [], 0
    for log in filter(Path.is_file, logs):
        state = json.loads(log.read_text())
        whole = [entry for entry in state["log_history"] if all(key in entry for key in keys)]
        steps += [earlier + entry["step"] for entry in whole]
        accuracy += [float(np.mean([entry[key] for key in keys])) for entry in whole]
        earlier += state["global_step"]
    if not steps:
        raise CheckpointError(
            f"the log of {folder} has no discriminator_accuracy of all of {len(keys)} tasks: give an adversarial run, or "
            "train with larger logging_steps, so that each entry has batches of every task"
        )
    steps, accuracy = thin(steps, accuracy)
    chance = round(1 / len(keys), 4)
    return {
        "variant": f"adversarial_{config.adversarial_scope}",
        "chance": chance,
        "steps": steps,
        "accuracy": accuracy,
    }


def thin(steps: Sequence[int], values: Sequence[float], points: int = MAX_POINTS) -> tuple[list[int], list[float]]:
    """At most so many points of a curve: neighbours are averaged, so that no part of the log is dropped."""
    blocks = np.array_split(np.arange(len(steps)), min(points, len(steps)))
    means = [(np.mean([steps[i] for i in block]), np.mean([values[i] for i in block])) for block in blocks]
    return [round(float(step)) for step, _ in means], [round(float(value), 4) for _, value in means]


def last_quarter(curve: dict) -> float:
    """The mean accuracy over the last quarter of a run's steps."""
    steps, accuracy = np.array(curve["steps"]), np.array(curve["accuracy"])
    return float(accuracy[steps >= 0.75 * steps[-1]].mean())
