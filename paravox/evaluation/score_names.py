"""The names of scores and splits in results files, and how tables and figures write them."""

SPLIT_TITLES = {"validation": "val", "test": "test"}
"""From the name of a split in a corpus to its name in results files and in `predictions/`."""
S_MTL = "s_mtl"
METRIC_TITLES = {"ccc": "CCC", "uar": "UAR", "mae": "MAE"}


def is_score(name: str) -> bool:
    """Whether a metric of [`score_split`] is a score such as `emotion_ccc` or `s_mtl`, not a loss or a timing."""
    return name == S_MTL or name.rpartition("_")[2] in METRIC_TITLES and "_" in name


def only_scores(metrics: dict[str, float]) -> dict[str, float]:
    """The metrics without losses and timings, in the same order."""
    return {name: value for name, value in metrics.items() if is_score(name)}


def metric_title(name: str) -> str:
    """How people write a score: `emotion CCC` for `emotion_ccc`, and `S_MTL`."""
    if name == S_MTL:
        return "S_MTL"
    task, _, metric = name.rpartition("_")
    return f"{task} {METRIC_TITLES.get(metric, metric)}".lstrip()


def column_title(split: str, name: str) -> str:
    """The title of a table's column: `Val: emotion CCC` for the score `emotion_ccc` of the split `val`."""
    return f"{split[:1].upper()}{split[1:]}: {metric_title(name)}"
