"""Scores as a table in the terminal."""

from rich.console import Console
from rich.table import Table

METRIC_TITLES = {"ccc": "CCC", "uar": "UAR", "mae": "MAE"}


def print_scores(title: str, rows: dict[str, dict[str, dict[str, float]]]) -> None:
    """Prints scores with a row a model and a column a split and metric.

    Args:
        title (`str`): above the table.
        rows (`dict`): scores by row, split and metric name, such as `rows["constant"]["val"]["age_mae"]`.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    columns = list(dict.fromkeys((split, name) for row in rows.values() for split in row for name in row[split]))
    for split, name in columns:
        table.add_column(f"{split}\n{_metric_title(name)}", justify="right")
    for label, row in rows.items():
        table.add_row(label, *(_number(row.get(split, {}).get(name)) for split, name in columns))
    longest = max(map(len, rows), default=0)
    Console(width=max(80, 6 + longest + 14 * len(columns))).print(table)


def _metric_title(name: str) -> str:
    if name == "s_mtl":
        return "S_MTL"
    task, _, metric = name.rpartition("_")
    return f"{task} {METRIC_TITLES.get(metric, metric)}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
