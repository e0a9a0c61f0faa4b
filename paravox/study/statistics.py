"""The numbers behind the report of a few-shot study: figures 2 to 4, Table 1, baselines and paired tests.

All scores are macro F1 on the test parts, in 0..1. Intervals are 95 % bootstrap intervals over speakers: speakers are
drawn with replacement, `DRAWS` times, and each time the mean is taken over all values of the drawn speakers. With fewer
than two speakers there is no interval (NaN). A *cell* is what a comparison is controlled for: one speaker, one emotion
and one k (section 4.2).
"""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from paravox.corpora.combinations import NO_CORPUS, combination_name, power_set
from paravox.evaluation.significance import holm
from paravox.modeling.errors import ConfigError
from paravox.study.results_file import FAILED, FINISHED, LACKING_SHOTS, fault_of_results_file

DRAWS = 2000
CONSTANT = "always no"
CELL = ["k", "speaker", "emotion"]
NEEDED = ("corpora", "checkpoints", "speakers", "emotions", "shots", "repetitions")
USED = (*CELL, "checkpoint", "repetition", "status", "macro_f1", "test_positives", "test_clips")


@dataclass(frozen=True)
class StudyResults:
    """What a results file holds.

    Args:
        study (`dict`): the study's description.
        trials (`pandas.DataFrame`): the trials that belong to its grid or to a baseline, with the columns `USED`.
        outside (`int`): how many other trials of the file were left out.
    """

    study: dict[str, Any]
    trials: pd.DataFrame
    outside: int

    @property
    def finished(self) -> pd.DataFrame:
        return self.trials[self.trials["status"] == FINISHED]

    @property
    def combinations(self) -> dict[str, tuple[str, ...]]:
        """The corpora of each possible checkpoint, by its name. A checkpoint with another name is a baseline."""
        return {combination_name(corpora): corpora for corpora in power_set(self.study["corpora"])}

    @property
    def everything(self) -> str:
        """The name of the checkpoint that is pre-finetuned on all corpora."""
        return combination_name(self.study["corpora"])

    @property
    def counts(self) -> dict[str, int]:
        """How many trials the study specifies without its baselines, and how many of them have each status."""
        checkpoints = [name for name in self.study["checkpoints"] if name in self.combinations]
        specified = self.study["repetitions"] * len(checkpoints)
        for name in ("speakers", "emotions", "shots"):
            specified *= len(self.study[name])
        found = self.trials.loc[self.trials["checkpoint"].isin(checkpoints), "status"]
        states = {status: int((found == status).sum()) for status in (FINISHED, LACKING_SHOTS, FAILED)}
        return {"specified": specified, **states, "not_run": specified - sum(states.values())}

    @property
    def coverage(self) -> str:
        """The counts as text, for every figure and table."""
        counts = self.counts
        return (
            f"{counts['finished']:,} of {counts['specified']:,} trials; {counts['lacking_shots']:,} lack shots; "
            f"{counts['failed']:,} failed; {counts['not_run']:,} not run"
        )

    @property
    def method(self) -> str:
        """How the trials were run, as text for every figure and table."""
        mode = self.study.get("mode", "unknown")
        how = f"epoch by {self.study.get('selection')}"
        if mode in ("head", "adapt"):
            how = "layer by the shots" if mode == "adapt" else f"layer {self.study.get('layer')}"
        return f"mode {mode}, {how}, {len(self.study['speakers'])} speakers, seed {self.study.get('seed')}"

    def trials_of(self, checkpoints: Iterable[str]) -> pd.DataFrame:
        """The finished trials of some checkpoints."""
        return self.finished[self.finished["checkpoint"].isin(list(checkpoints))]


def read_results(path: Path) -> StudyResults:
    """Opens a results file without writing to it.

    Raises:
        ConfigError: if it is no results file, does not describe a study, holds no trial, or holds a finished trial
            without a score.
    """
    if not path.is_file():
        raise ConfigError(f"results file {path} does not exist: give the results.sqlite that few_shot.py wrote")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            study = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM study")}
            trials = pd.read_sql_query(f"SELECT {', '.join(USED)} FROM trials", connection)
    except (sqlite3.Error, pd.errors.DatabaseError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        if "locked" in reason or "busy" in reason:
            raise fault_of_results_file(path, sqlite3.OperationalError(reason)) from None
        raise ConfigError(
            f"{path} is no results file of a few-shot study ({reason}), expected SQLite with the tables study and "
            "trials: give the results.sqlite that few_shot.py wrote"
        ) from None
    types = {name: int if name == "repetitions" else list for name in NEEDED}
    lacking = [name for name, type_ in types.items() if not study.get(name) or not isinstance(study[name], type_)]
    if lacking:
        raise ConfigError(
            f"{path}: its table study has no usable {', '.join(lacking)}, so the grid of trials is unknown: "
            "give the results.sqlite that few_shot.py wrote"
        )
    if trials.empty:
        raise ConfigError(f"{path} holds no trials, expected at least one: run few_shot.py with this study first")
    trials["macro_f1"] = pd.to_numeric(trials["macro_f1"], errors="coerce")
    scores = trials.loc[trials["status"] == FINISHED, "macro_f1"]
    unusable = int((~trials["status"].isin([FINISHED, LACKING_SHOTS, FAILED])).sum() + (~scores.between(0, 1)).sum())
    if unusable:
        raise ConfigError(
            f"{path}: {unusable} trials have another status than {FINISHED}, {LACKING_SHOTS} and {FAILED}, or are "
            "finished without a macro_f1 in 0..1: delete these rows and run few_shot.py again"
        )
    inside = trials["repetition"].between(0, study["repetitions"] - 1) & trials["k"].isin(study["shots"])
    for column in ("speaker", "emotion"):
        inside &= trials[column].isin(study[f"{column}s"])
    combinations = {combination_name(corpora) for corpora in power_set(study["corpora"])}
    inside &= trials["checkpoint"].isin(study["checkpoints"]) | ~trials["checkpoint"].isin(combinations)
    return StudyResults(study, trials[inside], int((~inside).sum()))


def mean_over_speakers(values: pd.Series, speakers: pd.Series) -> dict[str, float]:
    """The mean of values, with its interval over the speakers that they belong to.

    Args:
        values (`pandas.Series`): any number per speaker.
        speakers (`pandas.Series`): the speaker of each value, in the same order.

    Returns:
        `dict`: `mean`, `low` and `high`; NaN for what cannot be given.
    """
    parts = values.groupby(np.asarray(speakers)).agg(["sum", "count"])
    if parts.empty:
        return dict.fromkeys(("mean", "low", "high"), np.nan)
    low = high = np.nan
    if len(parts) > 1:
        drawn = np.random.default_rng(0).integers(0, len(parts), (DRAWS, len(parts)))
        sums, sizes = (parts[column].to_numpy()[drawn].sum(axis=1) for column in ("sum", "count"))
        low, high = np.percentile(sums / sizes, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def constant_scores(trials: pd.DataFrame) -> pd.DataFrame:
    """The macro F1 of answering no for every clip, for each speaker and emotion that has trials.

    The positive class then has an F1 of 0, and the negative class one of 2 n / (n + clips) with n negative clips.
    """
    parts = trials.dropna(subset=["test_positives", "test_clips"]).drop_duplicates(["speaker", "emotion"])
    negatives = parts["test_clips"].astype(float) - parts["test_positives"]
    return parts[["speaker", "emotion"]].assign(macro_f1=negatives / (negatives + parts["test_clips"]))


def figure_2_numbers(results: StudyResults) -> pd.DataFrame:
    """Section 4.1: the mean over all trials, for each number of pre-finetuning corpora and each k.

    `standard_error` is that of the mean over trials, as in the paper. `always_no` is the same in every row.
    """
    always_no = constant_scores(results.finished)["macro_f1"].mean()
    rows = []
    for k in results.study["shots"]:
        for size in range(len(results.study["corpora"]) + 1):
            trials = results.trials_of(name for name, corpora in results.combinations.items() if len(corpora) == size)
            trials = trials[trials["k"] == k]
            row = {"corpora": size, "k": k, "trials": len(trials)} | _mean(trials)
            rows.append(row | {"standard_error": trials["macro_f1"].sem(), "always_no": always_no})
    return pd.DataFrame(rows)


def figure_3_numbers(results: StudyResults) -> pd.DataFrame:
    """Section 4.2: the mean over all trials whose checkpoint includes a corpus, minus the mean without pre-finetuning.

    The difference is taken in each cell, and `difference` is its mean over all cells of a k that have both sides.
    """
    rows = []
    for k in results.study["shots"]:
        for corpus in results.study["corpora"]:
            including = [name for name, corpora in results.combinations.items() if corpus in corpora]
            rows.append({"k": k, "corpus": corpus} | _difference(_compare(results, k, including, [NO_CORPUS])))
    return pd.DataFrame(rows)


def table_1_numbers(results: StudyResults) -> pd.DataFrame:
    """Table 1: `f1_in` of the model pre-finetuned on a corpus alone, `f1_ex` of the one on all other corpora.

    Section 4.3 compares models pre-finetuned on {c} and on C \\ {c}, where C are all corpora. F1in cannot be the score
    of C itself, because Table 1 gives four values of F1in for each k, and C has only one. Both scores are means over
    the cells that have trials of both, so that `difference` is one minus the other.
    """
    rows = []
    for k in results.study["shots"]:
        for corpus in results.study["corpora"]:
            others = combination_name([name for name in results.study["corpora"] if name != corpus])
            cells = _compare(results, k, [corpus], [others])
            means = {"f1_in": cells["first"].mean(), "f1_ex": cells["second"].mean()}
            rows.append({"k": k, "corpus": corpus} | means | _difference(cells))
    return pd.DataFrame(rows)


def figure_4_numbers(results: StudyResults) -> pd.DataFrame:
    """Section 4.4: all corpora and none, for each language of the speakers, emotion and k."""
    languages = language_of_speakers(results.study)
    rows = []
    for language in dict.fromkeys(languages.values()):
        speakers = [speaker for speaker, spoken in languages.items() if spoken == language]
        for emotion in results.study["emotions"]:
            for k in results.study["shots"]:
                for checkpoint in (results.everything, NO_CORPUS):
                    trials = results.trials_of([checkpoint])
                    trials = trials[(trials["k"] == k) & (trials["emotion"] == emotion)]
                    trials = trials[trials["speaker"].isin(speakers)]
                    key = {"language": language, "emotion": emotion, "k": k, "checkpoint": checkpoint}
                    rows.append(key | {"trials": len(trials)} | _mean(trials))
    return pd.DataFrame(rows)


def language_of_speakers(study: dict[str, Any]) -> dict[str, str]:
    """The language of each speaker, in the order of the speakers."""
    languages = study.get("languages") or {}
    return {speaker: languages.get(speaker, "language unknown") for speaker in study["speakers"]}


def baseline_numbers(results: StudyResults) -> pd.DataFrame:
    """The means that pre-finetuning has to exceed, by k: always no, no pre-finetuning, and the study's baselines."""
    others = sorted(set(results.trials["checkpoint"]) - set(results.combinations))
    rows = []
    for model in (CONSTANT, NO_CORPUS, *others):
        for k in results.study["shots"]:
            trials = results.finished if model == CONSTANT else results.trials_of([model])
            trials = trials[trials["k"] == k]
            trials = constant_scores(trials) if model == CONSTANT else trials
            rows.append({"model": model, "k": k, "values": len(trials)} | _mean(trials))
    return pd.DataFrame(rows)


def paired_tests(results: StudyResults) -> pd.DataFrame:
    """With minus without pre-finetuning, paired over cells: any combination of corpora, and all corpora at once.

    `p` belongs to the two-sided Wilcoxon signed-rank test over the mean differences of the speakers, and `p_holm` is
    corrected for all k of a comparison. Where nothing differs, p is 1. With fewer than two speakers there is no p, and
    `note` says so.
    """
    combinations = [name for name in results.combinations if name != NO_CORPUS]
    tables = []
    for comparison, names in (("any corpora - none", combinations), ("all corpora - none", [results.everything])):
        rows = []
        for k in results.study["shots"]:
            cells = _compare(results, k, names, [NO_CORPUS])
            by_speaker = cells["difference"].groupby(cells["speaker"]).mean().to_numpy()
            p, note = signed_rank_test(by_speaker)
            row = {"comparison": comparison, "k": k, "speakers": len(by_speaker)} | _difference(cells)
            rows.append(row | {"p": p, "p_holm": np.nan, "note": note})
        table = pd.DataFrame(rows)
        table["p_holm"] = holm(table["p"])
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def signed_rank_test(differences: np.ndarray) -> tuple[float, str]:
    """The two-sided p of a Wilcoxon signed-rank test over `(speakers,)`, and a note on what it cannot show."""
    differences = np.round(differences, 12)  # values that differ only by rounding are ties
    if len(differences) < 2:
        return np.nan, "no test: fewer than 2 speakers" if len(differences) else "no trials"
    if not differences.any():
        return 1.0, "no speaker differs"
    differing = np.count_nonzero(differences)
    note = f"{differing} differing speakers cannot reach p < 0.05" if 2.0 ** (1 - differing) >= 0.05 else ""
    return float(wilcoxon(differences).pvalue), note


def _mean(trials: pd.DataFrame) -> dict[str, float]:
    return mean_over_speakers(trials["macro_f1"], trials["speaker"])


def _difference(cells: pd.DataFrame) -> dict[str, float]:
    numbers = mean_over_speakers(cells["difference"], cells["speaker"])
    return {"cells": len(cells), "difference": numbers["mean"], "low": numbers["low"], "high": numbers["high"]}


def _compare(results: StudyResults, k: int, first: list[str], second: list[str]) -> pd.DataFrame:
    """The cells of a k that have trials of both groups of checkpoints, with both means and their difference."""
    means = {}
    for side, checkpoints in (("first", first), ("second", second)):
        trials = results.trials_of(checkpoints)
        means[side] = trials[trials["k"] == k].groupby(CELL)["macro_f1"].mean()
    cells = pd.concat(means, axis=1, join="inner").reset_index()
    return cells.assign(difference=cells["first"] - cells["second"])
