"""The audit of a trained model: what its representations tell about each task and about the source of a clip.

Burst2Vec debiases its representations against each other (section 3.4): the shared one should not tell the tasks apart,
and the specific one of a task should not serve the other tasks. Here this is measured on a saved model.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paravox.evaluation.audited_corpus import AuditedCorpus, AuditedSplit
from paravox.evaluation.bootstrap import DRAWS, draw_speakers, interval
from paravox.evaluation.probes import fit_probe, predict_probe, score_draws
from paravox.inference.opening import FeatureExtractor, Model
from paravox.modeling.errors import CheckpointError
from paravox.modeling.losses import partly_known
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.tasks import Task
from paravox.trainers.clip_pass import PassSettings, in_row_order, pass_over_clips
from paravox.trainers.clip_sources import PooledStates
from paravox.trainers.data_collator import MultiTaskCollator
from paravox.trainers.lower_states import encode_lower_layers
from paravox.trainers.multi_task_dataset import MultiTaskDataset

# What a path begins with.
LEAKAGE, DISCRIMINATOR, ERRORS = "leakage", "discriminator", "errors"
MEAN_OVER_TASKS = "mean over tasks"
# The one metric of each kind by which people compare representations: 1 is perfect.
MAIN_METRICS = {"intensities": "ccc", "scalar": "r2", "classes": "uar"}
_REPRESENTATION, _PREDICTION = "representation/", "prediction/"

Draws = dict[tuple[str, ...], np.ndarray]
"""Results by path, such as `("leakage", "shared", "age", "mae")`, each `(draws + 1,)` with the value itself first."""


def representation_names(tasks: Sequence[Task]) -> list[str]:
    """The rows of the leakage matrix.

    They are `encoder`, the mean over time of the encoder's last layer, which says what there was to find; `projected`;
    `shared`; and `specific[task]` and `joint[task]` of each task.
    """
    by_task = [f"{kind}[{task.name}]" for kind in ("specific", "joint") for task in tasks]
    return ["encoder", "projected", "shared", *by_task]


def audit_model(
    model: Model,
    extractor: FeatureExtractor,
    corpus: AuditedCorpus,
    settings: PassSettings,
    draws: int = DRAWS,
    cache_dir: Path | None = None,
) -> Draws:
    """Audits one model by one pass over Train and one over the scored split.

    - The leakage matrix, `("leakage", representation, target, metric)`: the scores of probes that are fitted on one
      representation of Train and predict one target in the scored split, whose speakers are others.
    - The discriminator, `("discriminator", task)`: for how many of the clips that have labels of a task the
      discriminator names this task, 0..1, and `("discriminator", "mean over tasks")`. It guesses 1 / tasks at chance.
      A clip with labels of several tasks counts for each of them. Without a discriminator there is no such result.
    - The errors, `("errors", task, other task, label, metric)`: the model's own scores on the clips that share one
      label of another task.

    Args:
        model ([`Burst2VecForMultiTask`]): with the tasks of the corpus.
        extractor ([`Burst2VecFeatureExtractor`]): saved with the model.
        corpus ([`AuditedCorpus`]).
        settings ([`PassSettings`]): where the passes run, and in which batches.
        draws (`int`, *optional*, defaults to 2000): how often speakers are drawn for the intervals.
        cache_dir (`Path`, *optional*): keep the states of the encoder in this folder, so that it runs only once for
            all models that have the same one.

    Raises:
        CheckpointError: if the model is another one, such as an ensemble, which has no representations of its own.
    """
    if not isinstance(model, Burst2VecForMultiTask):
        raise CheckpointError(
            f"a {type(model).__name__} has no representations of its own: give a model that train wrote; of an "
            "ensemble, give the members"
        )
    train = _pass(model, extractor, corpus, corpus.train, settings, cache_dir)
    scored = _pass(model, extractor, corpus, corpus.scored, settings, cache_dir)
    counts = draw_speakers(corpus.scored.speakers.tolist(), draws)
    found: Draws = {}
    for name in representation_names(corpus.tasks):
        key = f"{_REPRESENTATION}{name}"
        for target in corpus.targets:
            scores = probe_scores(target, train[key], scored[key], corpus, counts)
            # The mean error of a probe, which is fitted to have none on Train, tells nothing of the representation.
            scores.pop("mean_error", None)
            found |= {(LEAKAGE, name, target.name, metric): values for metric, values in scores.items()}
    if DISCRIMINATOR in scored:
        found |= discriminator_accuracy(scored[DISCRIMINATOR], corpus, counts)
    return found | errors_by_label(
        {task.name: scored[f"{_PREDICTION}{task.name}"] for task in corpus.tasks}, corpus, draws
    )


def probe_scores(
    target: Task, train: np.ndarray, scored: np.ndarray, corpus: AuditedCorpus, counts: np.ndarray
) -> dict[str, np.ndarray]:
    """The scores of one probe, as in [`score_draws`].

    Args:
        target ([`Task`]): what it predicts.
        train, scored (`np.ndarray` of shape `(clips, size)`): one representation of both splits.
        corpus ([`AuditedCorpus`]).
        counts (`np.ndarray` of shape `(draws + 1, clips)`): of the scored clips, from [`draw_speakers`].
    """
    probe = fit_probe(target, train, corpus.train.labels[target.name], corpus.train.speakers)
    return score_draws(target, predict_probe(probe, target, scored), corpus.scored.labels[target.name], counts)


def discriminator_accuracy(logits: np.ndarray, corpus: AuditedCorpus, counts: np.ndarray) -> Draws:
    """The accuracy of the discriminator on the scored split, by task and as the unweighted mean.

    Args:
        logits (`np.ndarray` of shape `(clips, tasks)`): of the discriminator.
        corpus ([`AuditedCorpus`]).
        counts (`np.ndarray` of shape `(draws + 1, clips)`): from [`draw_speakers`].
    """
    named = logits.argmax(axis=1)
    found: Draws = {}
    for position, task in enumerate(corpus.tasks):
        weights = counts * partly_known(corpus.scored.labels[task.name])
        if weights[0].any():
            with np.errstate(invalid="ignore"):
                found[DISCRIMINATOR, task.name] = weights @ (named == position) / weights.sum(axis=1)
    if found:
        found[DISCRIMINATOR, MEAN_OVER_TASKS] = np.mean(list(found.values()), axis=0)
    return found


def errors_by_label(predictions: dict[str, np.ndarray], corpus: AuditedCorpus, draws: int = DRAWS) -> Draws:
    """The model's scores on the clips that share a label of another task. Speakers are drawn within these clips.

    Args:
        predictions (`dict` of `np.ndarray`): of the scored split by task, as a model predicts.
        corpus ([`AuditedCorpus`]).
        draws (`int`, *optional*, defaults to 2000).
    """
    found: Draws = {}
    for task, by, label, rows in corpus.error_groups:
        counts = draw_speakers(corpus.scored.speakers[rows].tolist(), draws)
        scores = score_draws(task, predictions[task.name][rows], corpus.scored.labels[task.name][rows], counts)
        # The variance of the labels differs between the groups, so that their R2 cannot be compared.
        found |= {(ERRORS, task.name, by, label, name): values for name, values in scores.items() if name != "r2"}
    return found


def mean_draws(audits: Sequence[Draws]) -> Draws:
    """The mean of several models in every draw of speakers; of results that some lack, over the others."""
    paths = dict.fromkeys(path for audit in audits for path in audit)
    return {path: np.mean([audit[path] for audit in audits if path in audit], axis=0) for path in paths}


def difference(audit: Draws, base: Draws) -> Draws:
    """The differences of one audit to another one in every draw of speakers, of all results that both have."""
    return {path: values - base[path] for path, values in audit.items() if path in base}


def as_results(audit: Draws) -> dict[str, Any]:
    """An audit as a results file holds it: nested by path, each result as a `value` with its 95 % `interval`.

    Both are None where there is no number.
    """
    results: dict[str, Any] = {}
    for path, values in audit.items():
        place = results
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = {"value": None, "interval": None}
        if np.isfinite(values[0]) and np.isfinite(values[1:]).any():
            place[path[-1]] = {"value": round(float(values[0]), 4), "interval": interval(values)}
    return results


def _pass(
    model: Burst2VecForMultiTask,
    extractor: FeatureExtractor,
    corpus: AuditedCorpus,
    split: AuditedSplit,
    settings: PassSettings,
    cache_dir: Path | None,
) -> dict[str, np.ndarray]:
    """Representations, predictions and the discriminator's logits of a split, each `(clips, ...)`."""
    dataset = MultiTaskDataset(split.clips, corpus.tasks, sampling_rate=extractor.sampling_rate)
    if cache_dir is not None:
        # The states that a training run with one learning layer keeps.
        model.freeze_encoder(1)
        states: Any = encode_lower_layers(model, dataset, extractor, cache_dir, settings=settings).source
        dataset = dataset.with_source(PooledStates(states.pooled))
    collate = MultiTaskCollator(dataset.source, extractor)
    return in_row_order(pass_over_clips(model, dataset, collate, _step, settings, "encode"), len(dataset))


def _step(model: Any, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    output = model(**inputs)
    results = {f"{_PREDICTION}{task}": values for task, values in output.predictions.items()}
    results[f"{_REPRESENTATION}encoder"] = output.pooled_states[:, -1]
    for name, values in output.representations.items():
        by_task = {f"{name}[{task}]": array for task, array in values.items()} if isinstance(values, dict) else {}
        results |= {f"{_REPRESENTATION}{key}": array for key, array in (by_task or {name: values}).items()}
    if model.config.adversarial:
        results[DISCRIMINATOR] = model.discriminator(output.representations["shared"])
    return results
