"""Scores as a table in the terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from paravox.evaluation.score_names import column_title


def print_scores(title: str, rows: dict[str, dict[str, dict[str, float | None]]]) -> None:
    """Prints scores with one row per model, one column per split and metric.

    Args:
        title (`str`): printed above the table.
        rows (`dict`): the scores by row, split and metric, such as `rows["constant prediction"]["val"]["age_mae"]`. A
            score that a row lacks, or that is None, is left blank.
    """
    table = Table()
    table.add_column("", no_wrap=True)
    columns = list(dict.fromkeys((split, name) for row in rows.values() for split in row for name in row[split]))
    headers = [column_title(split, name).replace(": ", "\n", 1) for split, name in columns]
    for header in headers:
        table.add_column(header, justify="right")
    for label, row in rows.items():
        # As Text, because brackets in the name of a folder would be read as markup.
        table.add_row(Text(label), *(_number(row.get(split, {}).get(name)) for split, name in columns))
    # Wide enough for every header, also where the output is no terminal.
    widths = [max(map(len, rows), default=0), *(max(6, *map(len, header.split("\n"))) for header in headers)]
    console = Console(width=max(80, len(title), sum(width + 3 for width in widths) + 1))
    console.print(title, style="italic", markup=False, highlight=False)
    console.print(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
