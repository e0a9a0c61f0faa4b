"""How two ways to run trials agree, such as mode head and mode full, on the trials that two results files share."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.errors import ConfigError
from paravox.study.statistics import DRAWS, StudyResults

CELL = ["speaker", "emotion", "k", "repetition"]
FILES = ["first", "second"]


def compare_results(first: StudyResults, second: StudyResults) -> dict[str, Any]:
    """Compares two results files on the trials that both finished.

    A gain is the macro F1 of the checkpoint of all corpora minus that of none, for one speaker, emotion, k and
    repetition.

    Returns:
        `dict`:
        - `modes`: of both files
        - `trials` and `pairs`: how many trials, and pairs of speaker and emotion, are compared
        - `means`: of macro F1, by checkpoint, k and file
        - `values`: each with its 95 % bootstrap interval over the pairs, from 2,000 draws:
          `rank_correlation_of_trials` (Spearman's, of macro F1 over all trials), `gain_in_first` and `gain_in_second`
          (means), `rank_correlation_of_gains` and `gains_of_one_sign` (the share among the cells where neither gain is
          0)

    Raises:
        ConfigError: if no cell has both checkpoints in both files.
    """
    scores = [results.finished.set_index(["checkpoint", *CELL])["macro_f1"] for results in (first, second)]
    both = pd.concat(dict(zip(FILES, scores, strict=True)), axis=1, join="inner")
    if not {first.everything, NO_CORPUS} <= set(both.index.get_level_values("checkpoint")):
        raise ConfigError(
            f"the files share no trials of {NO_CORPUS} and {first.everything}: run both checkpoints in each mode"
        )
    gains = (both.loc[first.everything] - both.loc[NO_CORPUS]).dropna()
    if gains.empty:
        raise ConfigError(
            f"no speaker, emotion, k and repetition has {NO_CORPUS} and {first.everything} in both files: run the same "
            "trials of both checkpoints in each mode"
        )
    means = both.groupby(["checkpoint", "k"])[FILES].mean()
    trials_of, gains_of = _by_pair(both), _by_pair(gains)
    pairs = sorted(gains_of)
    values = _agreement([trials_of[pair] for pair in pairs], [gains_of[pair] for pair in pairs])
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        drawn = [pairs[position] for position in generator.integers(len(pairs), size=len(pairs))]
        draws.append(_agreement([trials_of[pair] for pair in drawn], [gains_of[pair] for pair in drawn]))
    intervals = {name: np.nanpercentile([draw[name] for draw in draws], [2.5, 97.5]) for name in values}
    return {
        "modes": [results.study.get("mode") for results in (first, second)],
        "trials": len(both),
        "pairs": len(pairs),
        "means": {
            checkpoint: {str(k): row.round(4).to_dict() for k, row in means.loc[checkpoint].iterrows()}
            for checkpoint in (NO_CORPUS, first.everything)
        },
        "values": {
            name: [round(float(number), 4) for number in (value, *intervals[name])] for name, value in values.items()
        },
    }


def _by_pair(scores: pd.DataFrame) -> dict[tuple[str, str], np.ndarray]:
    """The values of both files by speaker and emotion, each `(rows, 2)`."""
    return {pair: rows[FILES].to_numpy(float) for pair, rows in scores.groupby(["speaker", "emotion"])}


def _agreement(trials: list[np.ndarray], gains: list[np.ndarray]) -> dict[str, float]:
    """The values of [`compare_results`] for some pairs, from their scores and gains, each `(rows, 2)`."""
    all_trials, all_gains = np.concatenate(trials), np.concatenate(gains)
    moved = all_gains[(all_gains != 0).all(axis=1)]
    return {
        "rank_correlation_of_trials": _rank_correlation(all_trials),
        "gain_in_first": all_gains[:, 0].mean(),
        "gain_in_second": all_gains[:, 1].mean(),
        "rank_correlation_of_gains": _rank_correlation(all_gains),
        "gains_of_one_sign": (moved[:, 0] * moved[:, 1] > 0).mean() if len(moved) else np.nan,
    }


def _rank_correlation(values: np.ndarray) -> float:
    if len(values) < 3 or (values == values[0]).all(axis=0).any():
        return np.nan
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)
