"""Does one way to run trials rank checkpoints as another does? Mode head against mode full, on the trials of both files.

    python recipes/prefinetuning/compare_modes.py HEAD/results.sqlite FULL/results.sqlite --output_dir DIR

Writes DIR/compare_modes.json and prints it as a table.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from paravox.corpora.combinations import NO_CORPUS
from paravox.modeling.errors import ConfigError
from paravox.study.statistics import DRAWS, StudyResults, read_results

CELL = ["speaker", "emotion", "k", "repetition"]


def main(arguments: list[str] | None = None) -> dict:
    """Compares two results files; gives what the JSON file holds.

    Raises:
        ConfigError: if a file is no results file, or the two share no trial of both checkpoints.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("first", type=Path, help="a results.sqlite, such as that of mode head")
    parser.add_argument("second", type=Path, help="another one, such as that of mode full")
    parser.add_argument("--output_dir", type=Path, required=True, help="where compare_modes.json is written")
    parsed = parser.parse_args(arguments)
    first, second = read_results(parsed.first), read_results(parsed.second)
    report = {"modes": [results.study.get("mode") for results in (first, second)]} | compare(first, second)
    parsed.output_dir.mkdir(parents=True, exist_ok=True)
    (parsed.output_dir / "compare_modes.json").write_text(json.dumps(report, indent=2) + "\n")
    table = Table(title=f"{report['modes'][0]} against {report['modes'][1]}, {report['trials']} trials of both")
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="right" if column else "left")
    for name, (value, low, high) in report["values"].items():
        table.add_row(name.replace("_", " "), f"{value:.3f}", f"[{low:.3f}, {high:.3f}]")
    Console().print(table)
    return report


def compare(first: StudyResults, second: StudyResults) -> dict:
    """How two results files agree on the trials that both finished.

    Intervals are 95 % bootstrap intervals over pairs of speaker and emotion, 2,000 draws.

    Returns:
        `dict`: `trials` and `pairs`, how many; `means`, of macro F1 over the cells, by checkpoint, k and file; `values`,
        each with its interval: `rank_correlation_of_trials` (Spearman's, of macro F1 over all trials), and for all corpora against none, a speaker, emotion, k and repetition at a time:
        `gain_in_first` and `gain_in_second` (of macro F1), `rank_correlation_of_gains` and `gains_of_one_sign` (a share;
        cells where either is 0 do not count).

    Raises:
        ConfigError: if no cell has both checkpoints in both files.
    """
    keys = ["checkpoint", *CELL]
    scores = [results.finished.set_index(keys)["macro_f1"] for results in (first, second)]
    both = pd.concat(dict(zip(("first", "second"), scores, strict=True)), axis=1, join="inner")
    found = set(both.index.get_level_values("checkpoint"))
    if not {first.everything, NO_CORPUS} <= found:
        raise ConfigError(f"the files share no trials of {NO_CORPUS} and {first.everything}: run both in each mode")
    gains = (both.loc[first.everything] - both.loc[NO_CORPUS]).dropna()
    if gains.empty:
        raise ConfigError(f"no speaker, emotion, k and repetition has {NO_CORPUS} and {first.everything} in both files")
    means = both.groupby(["checkpoint", "k"])[["first", "second"]].mean()
    trials = both.reset_index().assign(pair=lambda table: table["speaker"] + "/" + table["emotion"])
    gains = gains.reset_index().assign(pair=lambda table: table["speaker"] + "/" + table["emotion"])
    pairs = sorted(set(gains["pair"]))
    of_pair = [_by_pair(table, pairs) for table in (trials, gains)]
    values = _values(*(np.concatenate(list(parts.values())) for parts in of_pair))
    generator = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        drawn = [pairs[position] for position in generator.integers(len(pairs), size=len(pairs))]
        draws.append(_values(*(np.concatenate([parts[pair] for pair in drawn]) for parts in of_pair)))
    intervals = {name: np.nanpercentile([draw[name] for draw in draws], [2.5, 97.5]) for name in values}
    return {
        "trials": len(trials),
        "pairs": len(pairs),
        "means": {
            checkpoint: {str(k): row.round(4).to_dict() for k, row in means.loc[checkpoint].iterrows()}
            for checkpoint in (NO_CORPUS, first.everything)
        },
        "values": {
            name: [round(float(number), 4) for number in (value, *intervals[name])] for name, value in values.items()
        },
    }


def _by_pair(table: pd.DataFrame, pairs: list[str]) -> dict[str, np.ndarray]:
    """Per speaker and emotion, the values of both files: `(rows, 2)`."""
    return {pair: table.loc[table["pair"] == pair, ["first", "second"]].to_numpy(float) for pair in pairs}


def _values(trials: np.ndarray, gains: np.ndarray) -> dict[str, float]:
    moved = gains[(gains != 0).all(axis=1)]
    return {
        "rank_correlation_of_trials": _rank_correlation(trials),
        "gain_in_first": gains[:, 0].mean(),
        "gain_in_second": gains[:, 1].mean(),
        "rank_correlation_of_gains": _rank_correlation(gains),
        "gains_of_one_sign": (moved[:, 0] * moved[:, 1] > 0).mean() if len(moved) else np.nan,
    }


def _rank_correlation(values: np.ndarray) -> float:
    if len(values) < 3 or (values == values[0]).all(axis=0).any():
        return np.nan
    return float(spearmanr(values[:, 0], values[:, 1]).statistic)


if __name__ == "__main__":
    try:
        main()
    except ConfigError as error:
        sys.exit(f"{type(error).__name__}: {error}")
