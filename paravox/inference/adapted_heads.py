"""Heads for few labelled clips: which layer of a frozen encoder, which penalty, and how well unseen clips are told.

A layer's features are its mean over time, for each clip. They are centred, and scaled by how much they vary from frame
to frame: few clips have few means, but many frames. On nEMO, heads on features scaled in this way were better for 8
clips than those that were scaled by the means of a whole corpus.

Few clips cannot choose among many layers. So there is one layer, and one penalty, that is used unless another one is
clearly better in a cross-validation over the given clips.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from paravox.trainers.logistic_regression import fit_classes

# The study's best layer is layer 1 of the six of Whisper base (recipes/prefinetuning/results/best_layer/summary.json).
# For other encoders it is the layer at this share of their depth, which has not been measured.
RECOMMENDED_DEPTH = 1 / 6
# The inverse penalty of the study, and those that are tried beside it.
INVERSE_PENALTY = 1.0
OTHER_INVERSE_PENALTIES = (0.01, 0.1)
# Another layer or penalty is used if its loss in the cross-validation is lower by this many standard errors. With 1,
# macro F1 was 0.03 lower for 8 clips than without any choice. Tried on the speakers 0021, 0022 and 0023 of nEMO.
CLEARLY_BETTER = 2.0
MOST_FOLDS = 5
BOOTSTRAPS = 1_000


@dataclass(frozen=True)
class CrossValidation:
    """How well heads tell clips that they have not learned from.

    Args:
        folds (`int`): into how many parts the clips were dealt out.
        by_speaker (`bool`): whether all clips of a speaker were in one part.
        score (`float`): the recall of each label, averaged over the labels, 0..1.
        low, high (`float`): its 95 % interval over the clips.
    """

    folds: int
    by_speaker: bool
    score: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class AdaptedHead:
    """A head on one layer of a frozen encoder.

    Args:
        layer (`int`): the hidden state that it uses, from 0, the one before the first layer.
        inverse_penalty (`float`): of the logistic regression.
        weights (`np.ndarray` of shape `(labels, hidden)`): float64, for the layer's mean over time as it is.
        biases (`np.ndarray` of shape `(labels,)`): float64.
        choice ([`Choice`], *optional*): how layer and penalty were chosen. Without it they are the recommended ones.
    """

    layer: int
    inverse_penalty: float
    weights: np.ndarray
    biases: np.ndarray
    choice: "Choice | None" = None

    def logits(self, moments: np.ndarray) -> np.ndarray:
        """`(clips, layers, 2, hidden)` -> `(clips, labels)`; the softmax of the logits is the probability."""
        return moments[:, self.layer, 0].astype(np.float64) @ self.weights.T + self.biases


@dataclass(frozen=True, eq=False)
class Choice:
    """What a cross-validation found for some layers and penalties, of which the first one is the recommended one.

    Args:
        folds (list of `np.ndarray` of int): the rows of the clips in each fold.
        by_speaker (`bool`): as in [`CrossValidation`].
        tried (list of `tuple`): the layer and the inverse penalty of each candidate, in the order in which they were
            tried: first the layers, then the penalties for the chosen layer.
        logits (`np.ndarray` of shape `(candidates, clips, labels)`): of each clip, from the heads that have not
            learned from it.
        targets (`np.ndarray` of int, shape `(clips,)`).
    """

    folds: list[np.ndarray]
    by_speaker: bool
    tried: list[tuple[int, float]]
    logits: np.ndarray
    targets: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """Which clips each candidate tells, `(candidates, clips)` of bool."""
        return self.logits.argmax(axis=2) == self.targets

    def best(self, rows: np.ndarray | None = None) -> int:
        """The candidate that the clips of some rows choose, all of them by default: first the layer, then the penalty.

        A layer must also tell more clips: where the first one tells them all, nothing is to be gained.
        """
        rows = np.arange(len(self.targets)) if rows is None else rows
        losses, hits = self._losses[:, rows], self.hits[:, rows].sum(axis=1)
        layers = [n for n, (_, penalty) in enumerate(self.tried) if penalty == INVERSE_PENALTY]
        chosen = clearly_best(losses, [0, *(n for n in layers if hits[n] > hits[0])])
        layer = self.tried[chosen][0]
        penalties = [n for n, (other, _) in enumerate(self.tried) if other == layer and n != chosen]
        return clearly_best(losses, [chosen, *penalties])

    @cached_property
    def _losses(self) -> np.ndarray:
        """The cross-entropy of each clip, `(candidates, clips)`."""
        logits = self.logits - self.logits.max(axis=2, keepdims=True)
        own = np.take_along_axis(logits, self.targets[None, :, None], axis=2)[..., 0]
        return np.log(np.exp(logits).sum(axis=2)) - own

    def validation(self) -> CrossValidation:
        """The score of the head, with an interval.

        The candidates are compared on the clips that also give the score, which makes that of the best one too high. So
        clips are drawn with replacement many times. Each time the clips that were drawn choose the candidate, and it is
        scored on the others (Tsamardinos et al. 2018).
        """
        from scipy.stats import binomtest

        generator = np.random.default_rng(0)
        clips, hits = len(self.targets), self.hits
        scores = []
        for _ in range(BOOTSTRAPS):
            drawn = generator.integers(clips, size=clips)
            others = np.setdiff1d(np.arange(clips), drawn)
            if len(others):
                scores.append(_mean_recall(hits[self.best(drawn), others], self.targets[others]))
        score = float(np.mean(scores))
        low, high = np.quantile(scores, [0.025, 0.975])
        # Where all clips are told, drawing among them shows no spread, but an interval for a share does (Wilson 1927).
        share = binomtest(round(score * clips), clips).proportion_ci(method="wilson")
        low, high = min(low, share.low), max(high, share.high)
        return CrossValidation(len(self.folds), self.by_speaker, score, float(low), float(high))


def recommended_layer(layers: int) -> int:
    """The layer that is used where nothing speaks against it, of an encoder with so many layers."""
    return min(layers, max(1, round(RECOMMENDED_DEPTH * layers)))


def adapt_head(
    moments: np.ndarray,
    targets: np.ndarray,
    classes: int,
    speakers: np.ndarray | None = None,
    layer: int | None = None,
    device: str | torch.device = "cpu",
) -> AdaptedHead:
    """Chooses a layer and a penalty by cross-validation on the given clips alone, and fits a head to all of them.

    Args:
        moments (`np.ndarray` of shape `(clips, layers + 1, 2, hidden)`): of the clips, from
            [`~paravox.trainers.pooled_layers.layer_moments`].
        targets (`np.ndarray` of int, shape `(clips,)`): the label of each clip; each occurs.
        classes (`int`): the number of labels, at least 2.
        speakers (`np.ndarray` of shape `(clips,)`, *optional*): the speaker of each clip. Where it is possible, the
            cross-validation then tells clips of speakers that the head does not know.
        layer (`int`, *optional*): use this layer, and choose only the penalty.
        device (`str` or `torch.device`, *optional*, defaults to `"cpu"`): where the heads are solved.

    Returns:
        [`AdaptedHead`]. It has no `choice` if a label has only one clip.
    """
    first = recommended_layer(moments.shape[1] - 1) if layer is None else layer
    chosen, choice = (first, INVERSE_PENALTY), None
    folds, by_speaker = deal_out(targets, speakers)
    if folds:
        others = [] if layer is not None else [number for number in range(moments.shape[1]) if number != first]
        tried = [(number, INVERSE_PENALTY) for number in (first, *others)]
        logits = _unseen(moments, targets, classes, folds, [first, *others], INVERSE_PENALTY, device)
        best_layer = tried[Choice(folds, by_speaker, tried, logits, targets).best()][0]
        for penalty in OTHER_INVERSE_PENALTIES:
            tried.append((best_layer, penalty))
            more = _unseen(moments, targets, classes, folds, [best_layer], penalty, device)
            logits = np.concatenate([logits, more])
        choice = Choice(folds, by_speaker, tried, logits, targets)
        chosen = tried[choice.best()]
    weights, biases = _fit(moments[:, [chosen[0]]], targets, classes, chosen[1], device)
    return AdaptedHead(*chosen, weights[0], biases[0], choice)


def deal_out(targets: np.ndarray, speakers: np.ndarray | None = None) -> tuple[list[np.ndarray], bool]:
    """Deals clips out to at most five folds, so that the clips outside of each fold have every label.

    Returns:
        The rows of each fold, and whether no speaker is in two folds. Without folds, a label has only one clip.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    labels, counts = np.unique(targets, return_counts=True)
    fewest = int(counts.min())
    if fewest < 2:
        return [], False
    options: dict[str, Any] = {"shuffle": True, "random_state": 0}
    if speakers is not None and (groups := len(np.unique(speakers))) > 1:
        # With fewer folds than clips of a label it would warn, which says nothing here.
        splitter = StratifiedGroupKFold(min(groups, fewest, MOST_FOLDS), **options)
        folds = [rows for _, rows in splitter.split(targets, targets, speakers) if len(rows)]
        if len(folds) > 1 and all(len(np.unique(np.delete(targets, rows))) == len(labels) for rows in folds):
            return folds, True
    splitter = StratifiedKFold(min(fewest, MOST_FOLDS), **options)
    return [rows for _, rows in splitter.split(targets, targets)], False


def clearly_best(losses: np.ndarray, candidates: list[int]) -> int:
    """The candidate with the lowest mean loss if it is clearly better than the first candidate, otherwise the first.

    Args:
        losses (`np.ndarray` of shape `(all candidates, clips)`).
        candidates (list of `int`): the rows to choose from.
    """
    first, best = candidates[0], candidates[int(losses[candidates].mean(axis=1).argmin())]
    gains = losses[first] - losses[best]
    return best if gains.mean() > CLEARLY_BETTER * gains.std(ddof=1) / np.sqrt(len(gains)) else first


def _unseen(
    moments: np.ndarray,
    targets: np.ndarray,
    classes: int,
    folds: list[np.ndarray],
    layers: list[int],
    inverse_penalty: float,
    device: str | torch.device,
) -> np.ndarray:
    """The logits of each clip from the heads of the other folds, `(layers, clips, classes)`."""
    logits = np.zeros((len(layers), len(targets), classes))
    for rows in folds:
        known = np.delete(np.arange(len(targets)), rows)
        weights, biases = _fit(moments[known][:, layers], targets[known], classes, inverse_penalty, device)
        means = moments[rows][:, layers, 0].astype(np.float64)
        logits[:, rows] = np.einsum("nlh,lch->lnc", means, weights) + biases[:, None]
    return logits


def _fit(
    moments: np.ndarray, targets: np.ndarray, classes: int, inverse_penalty: float, device: str | torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Heads for the means of each layer as they are: `(layers, classes, hidden)` and `(layers, classes)`."""
    centre, spread = centre_and_spread(moments)
    features = (moments[:, :, 0] - centre) / spread
    weights, biases = fit_classes(features.transpose(1, 0, 2), targets, classes, inverse_penalty, device)
    # The standardisation is folded into the head.
    weights = weights / spread[:, None]
    return weights, biases - np.einsum("lch,lh->lc", weights, centre)


def centre_and_spread(moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By what the features of some clips are centred and scaled.

    Args:
        moments (`np.ndarray` of shape `(clips, layers, 2, hidden)`).

    Returns:
        The mean over the clips and the spread, each `(layers, hidden)`, float64. A feature's spread is its standard
        deviation over all frames, each clip counting the same, times a factor per layer, with which the variance of
        the scaled features over the clips is 1 on average, as the penalty expects.
    """
    means, variances = moments[:, :, 0].astype(np.float64), moments[:, :, 1].astype(np.float64)
    centre = means.mean(axis=0)
    between = ((means - centre) ** 2).sum(axis=0)
    spread = np.sqrt(variances.mean(axis=0) + between / len(means))
    spread = np.where(spread > 0, spread, 1.0)
    factor = np.sqrt((between / spread**2).mean(axis=-1, keepdims=True) / max(len(means) - 1, 1))
    return centre, spread * np.where(factor > 0, factor, 1.0)


def _mean_recall(hits: np.ndarray, targets: np.ndarray) -> float:
    """The recall of each label that occurs, averaged."""
    return float(np.mean([hits[targets == label].mean() for label in np.unique(targets)]))
