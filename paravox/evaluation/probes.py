"""Frozen probes: linear models that predict labels from a representation, for speakers whom they have not heard."""

import warnings
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from paravox.evaluation.bootstrap import bootstrap_scores
from paravox.modeling.losses import fully_known
from paravox.modeling.tasks import Task

FOLDS = 5
# From the strongest regularisation to the weakest: of candidates with the same score, the search takes the first.
ALPHAS = (1e4, 1e3, 1e2, 1e1, 1.0)
CS = (1e-3, 1e-2, 1e-1, 1.0)
MAX_ITERATIONS = 200


def can_be_probed(train_labels: np.ndarray, speakers: np.ndarray, scored_labels: np.ndarray) -> bool:
    """Whether a probe can be fitted and scored.

    It needs at least two speakers with a known label in Train, two classes among them if the labels are classes, and a
    known label in the scored split.

    Args:
        train_labels, scored_labels (`np.ndarray` of shape `(clips, ...)`): as in `MultiTaskDataset.labels`.
        speakers (`np.ndarray` of shape `(clips,)`): of Train.
    """
    known = fully_known(train_labels)
    classes = train_labels[known] if train_labels.dtype.kind == "i" else range(2)
    return len(np.unique(speakers[known])) > 1 and len(set(classes)) > 1 and bool(fully_known(scored_labels).any())


def fit_probe(task: Task, features: np.ndarray, labels: np.ndarray, speakers: np.ndarray) -> GridSearchCV:
    """Fits a probe on the clips whose labels are known.

    Features are standardised. Intensities and scalars are predicted by a ridge regression, classes by a logistic
    regression whose classes count equally. The strength of the regularisation is chosen by cross-validation, with no
    speaker in two folds: by the squared error of the ridge regression, and the balanced accuracy of the logistic one.

    Args:
        task ([`Task`]): what the labels are.
        features (`np.ndarray` of shape `(clips, size)`): one representation of Train.
        labels (`np.ndarray` of shape `(clips, ...)`): as in `MultiTaskDataset.labels`.
        speakers (`np.ndarray` of shape `(clips,)`): who must be at least two among the known clips.
    """
    known = fully_known(labels)
    features, labels, speakers = features[known].astype(np.float64), labels[known], speakers[known]
    folds = min(FOLDS, len(np.unique(speakers)))
    search: dict[str, Any]
    if task.kind == "classes":
        model = LogisticRegression(class_weight="balanced", max_iter=MAX_ITERATIONS)
        folds = max(2, min(folds, np.bincount(labels).max()))
        search = {"param_grid": {"logisticregression__C": CS}, "scoring": "balanced_accuracy"}
        search["cv"] = StratifiedGroupKFold(folds)
    else:
        model = Ridge()
        search = {"param_grid": {"ridge__alpha": ALPHAS}, "scoring": "neg_mean_squared_error", "cv": GroupKFold(folds)}
    probe = GridSearchCV(make_pipeline(StandardScaler(), model), **search)
    with warnings.catch_warnings():
        # Of classes with few speakers, which a fold may lack, and of the limit of iterations.
        warnings.simplefilter("ignore")
        return probe.fit(features, labels, groups=speakers)


def predict_probe(probe: GridSearchCV, task: Task, features: np.ndarray) -> np.ndarray:
    """The predictions of a probe, in the form and within the limits of a model's predictions.

    Args:
        probe: from [`fit_probe`].
        task ([`Task`]): as there.
        features (`np.ndarray` of shape `(clips, size)`): the same representation of other clips.

    Returns:
        `np.ndarray`: intensities `(clips, outputs)` in 0..1, a scalar `(clips,)` in its unit and range, or class
        probabilities `(clips, classes)`.
    """
    features = features.astype(np.float64)
    if task.kind != "classes":
        return probe.predict(features).clip(*(task.range or (0.0, 1.0)))
    probabilities = np.zeros((len(features), task.outputs))
    probabilities[:, probe.classes_] = probe.predict_proba(features)
    return probabilities


def score_draws(task: Task, predictions: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of one task in every draw of speakers.

    Args:
        task ([`Task`]).
        predictions (`np.ndarray` of shape `(clips, ...)`): as a model predicts.
        labels (`np.ndarray` of shape `(clips, ...)`): as in `MultiTaskDataset.labels`, at least one of them known.
        counts (`np.ndarray` of shape `(draws + 1, clips)`): from [`draw_speakers`].

    Returns:
        `dict` of `np.ndarray` of shape `(draws + 1,)`: `ccc` and `uar` of intensities; `mae`, `r2` and `mean_error`
        (prediction minus label) of a scalar, of which `r2` is the share of the labels' variance that the predictions
        explain, and may be below 0; `uar` of classes. A score of which a draw has nothing is NaN.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
        scores = bootstrap_scores([task], {task.name: predictions}, {task.name: labels}, counts)
    found = {name.removeprefix(f"{task.name}_"): values for name, values in scores.items()}
    if task.kind == "scalar":
        known = fully_known(labels)
        truth, weights = labels[known].astype(np.float64), counts[:, known]
        error, total = predictions[known] - truth, weights.sum(axis=1)
        truth = truth - truth.mean()
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = weights @ truth / total
            variance = weights @ truth**2 / total - mean**2
            found["r2"] = 1 - weights @ error**2 / total / np.where(variance > 0, variance, np.nan)
            found["mean_error"] = weights @ error / total
    return found
