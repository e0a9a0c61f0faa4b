"""Table 2 as people read it: for the terminal and as Markdown, LaTeX, csv and HTML."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from paravox.evaluation.html_page import Cell, HtmlAudio, HtmlFigure, HtmlTable, Paragraph, Part, Section
from paravox.evaluation.score_names import S_MTL, SPLIT_TITLES, column_title, metric_title
from paravox.evaluation.table_2 import COMPARED_SPLIT, SIGNIFICANT
from paravox.evaluation.table_2_figure import plot_table_2

RAW = "♠"
ABSENT = "-"
WHICH_TO_TRUST = (
    "Trust the last column, the bootstrap over speakers with Holm's correction: it compares the scores themselves, "
    "averaged over the seeds, on the same clips, takes speakers instead of clips as the sample, and allows for the "
    "number of comparisons."
)
_LATEX_MARKS = {"♠": r"\spadesuit", "♣": r"\clubsuit", "♦": r"\diamondsuit", "♥": r"\heartsuit"}
_LATEX_ESCAPES = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--"}
_LATEX_ESCAPES |= {character: f"\\{character}" for character in "&%$#_{}"}


class TableCell(NamedTuple):
    """A cell of a table: its text, whether it is the best of its column, and its marks of significance."""

    text: str
    bold: bool = False
    marks: str = ""


class TextTable(NamedTuple):
    """A table with one title per column, and with the number of columns on the left that hold words."""

    header: list[str]
    rows: list[list[TableCell]]
    words: int = 2


def paper_table(results: dict[str, Any], with_settings: bool = False) -> TextTable:
    """The table in the paper's form: the scores of the tasks and S_MTL on Val, and S_MTL on Test.

    Where there is no S_MTL, Test has the scores of the tasks.

    Args:
        results (`dict`): what [`make_table`] returns.
        with_settings (`bool`, *optional*, defaults to `False`): add columns for encoder, audio, adversarial debiasing
            and oversampling.
    """
    columns = [
        (split, score)
        for split, score in _columns(results)
        if split == COMPARED_SPLIT or score == S_MTL or S_MTL not in results["scores"]
    ]
    header = ["Code", "Model(s)", *(["Encoder", "Audio", "Adversarial", "Oversampling"] if with_settings else [])]
    words = len(header)
    rows = []
    for row in results["rows"]:
        cells = _names(row) + (_settings(row) if with_settings else [])
        rows.append(cells + [_score_cell(row, split, score) for split, score in columns])
    return TextTable(header + [column_title(*column) for column in columns], rows, words)


def score_table(results: dict[str, Any], split: str) -> TextTable:
    """All scores of the tasks on one split, each with its interval and its standard deviation over the seeds."""
    scores = [score for found, score in _columns(results) if found == split]
    rows = []
    for row in results["rows"]:
        cells = []
        for score in scores:
            entry = row.get(split, {}).get(score, {})
            cell = _score_cell(row, split, score)
            text = cell.text
            if "interval" in entry:
                text += f" [{entry['interval'][0]:.3f}, {entry['interval'][1]:.3f}]"
            if entry.get("sd") is not None:
                text += f" ± {entry['sd']:.3f}"
            cells.append(cell._replace(text=text))
        rows.append(_names(row) + cells)
    return TextTable(["Code", "Model(s)", *(column_title(split, score) for score in scores)], rows)


def comparison_table(results: dict[str, Any]) -> TextTable:
    """The difference of every row to every row that it is compared with on Val, and the p-values of all tests."""
    tests = {
        "p_paper": "p: the paper's test",
        "p_paired": "p: paired, clips",
        "p_speakers": "p: speakers",
        "p_bootstrap": "p: bootstrap over speakers",
        "p_bootstrap_holm": "p: bootstrap, Holm",
    }
    header = ["Code", "Compared with", "Score", "Difference", "95 % interval", *tests.values()]
    rows = []
    for entry in results["comparisons"]:
        low, high = entry["interval"]
        words = [entry["code"], f"{entry['compared_with']} {entry['mark']}", metric_title(entry["score"])]
        numbers = [f"{entry['difference']:+.3f}", f"{low:+.3f} to {high:+.3f}"]
        p_values = [TableCell(_p_value(entry[name]), (entry[name] or 1) <= SIGNIFICANT) for name in tests]
        rows.append([*map(TableCell, words + numbers), *p_values])
    return TextTable(header, rows, 3)


def run_table(results: dict[str, Any]) -> TextTable:
    """How long each run took, and on which machine."""
    rows = [
        [entry["code"], str(entry["seed"]), _or_absent(entry["machine"]), _or_absent(entry["seconds"])]
        for entry in results["runs"]
    ]
    return TextTable(["Code", "Seed", "Machine", "Seconds"], [[TableCell(text) for text in row] for row in rows], 3)


def explanations(results: dict[str, Any]) -> list[str]:
    """The sentences below the table."""
    seeds = results["seeds"]
    over = f"Each value is the mean over {len(seeds)} seeds" if len(seeds) > 1 else "Each value is that of one run"
    told = [
        f"{over}. The best value of a column is in bold. CCC, UAR and S_MTL are better when higher, MAE when lower."
    ]
    if results["comparisons"]:
        against = ", ".join(f"{mark} {code}" for mark, code in results["compared_with"].items())
        first = f", here between the runs of seed {seeds[0]}" if len(seeds) > 1 else ""
        told.append(
            f"Marks show a difference on Val with p <= {SIGNIFICANT} from {against} by the paper's tests{first}: an "
            "independent two-sample t-test over clips for intensities and scalars, and Cochran's Q for classes. They "
            "are not corrected for the number of comparisons."
        )
    if any(row.get("settings", {}).get("raw") for row in results["rows"]):
        told.append(f"{RAW} marks models that were trained on the unprocessed recordings.")
    if results["selected_on_val"]:
        told.append("Scores on Val chose the epoch of each run, and so favour it.")
    return told


def as_markdown(results: dict[str, Any]) -> str:
    """The table, all scores with intervals, the comparisons and the runs."""
    parts = [f"# {results['title']}", _markdown_table(paper_table(results, with_settings=True))]
    parts += explanations(results)
    parts.append("## All scores")
    parts.append(_about_scores(results))
    parts += [_markdown_table(score_table(results, split)) for split in _splits(results)]
    if results["comparisons"]:
        parts += ["## Comparisons on Val", _markdown_table(comparison_table(results)), WHICH_TO_TRUST]
    parts += ["## Runs", _markdown_table(run_table(results)), f"Command: `{results['command']}`"]
    return "\n\n".join(parts) + "\n"


def as_latex(results: dict[str, Any]) -> str:
    """The table in the paper's form, for a document that uses the package booktabs."""
    table = paper_table(results)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\begin{{tabular}}{{{'l' * table.words}{'r' * (len(table.header) - table.words)}}}",
        "\\toprule",
        _latex_line([escape_latex(title) for title in table.header]),
        "\\midrule",
        *(_latex_line([_latex_cell(cell) for cell in row]) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{escape_latex(' '.join([results['title'] + '.', *explanations(results)]))}}}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def as_csv(results: dict[str, Any]) -> str:
    """One line per row of the table; each score has columns for its value, interval, deviation, marks and rank."""
    lines = []
    for row in results["rows"]:
        line: dict[str, Any] = {"code": row["code"], "name": row["name"]}
        settings = row.get("settings", {})
        line |= {name: settings.get(name) for name in ("encoder", "audio", "raw", "adversarial", "oversampling")}
        line["members"] = " ".join(map(str, row.get("members", ())))
        for split, score in _columns(results):
            entry = row.get(split, {}).get(score, {})
            low, high = entry.get("interval", (None, None))
            name = f"{split}_{score}"
            line |= {name: entry.get("value"), f"{name}_low": low, f"{name}_high": high, f"{name}_sd": entry.get("sd")}
            line |= {f"{name}_marks": entry.get("marks", ""), f"{name}_best": entry.get("best")}
        lines.append(line)
    return pd.DataFrame(lines).to_csv(index=False)


def html_sections(results: dict[str, Any]) -> list[Section]:
    """The parts of a page with the table, figures, all scores, the comparisons and the runs."""

    def section(title: str, *parts: Part) -> Section:
        return Section(title, list(parts))

    caption = (
        "Each point is a score with its 95 % interval over speakers; open points are ensembles. A dotted line is the "
        "constant prediction; it is left out where it is far away."
    )
    sections = [
        section(
            "Table",
            _html_table(paper_table(results, with_settings=True)),
            *(Paragraph(text) for text in explanations(results)),
        ),
        section(
            "Figures",
            *(
                HtmlFigure(plot_table_2(results, split), f"{split.capitalize()}. {caption}")
                for split in _splits(results)
            ),
        ),
        section(
            "All scores",
            Paragraph(_about_scores(results)),
            *(_html_table(score_table(results, split)) for split in _splits(results)),
        ),
    ]
    if results["comparisons"]:
        sections.append(
            section("Comparisons on Val", _html_table(comparison_table(results)), Paragraph(WHICH_TO_TRUST))
        )
    runs = _html_table(run_table(results))
    return [*sections, section("Runs", runs, Paragraph(f"Command: {results['command']}"))]


def print_table_2(results: dict[str, Any]) -> None:
    """Prints the table in the paper's form."""
    table = paper_table(results)
    shown = Table()
    for position, title in enumerate(table.header):
        is_word = position < table.words
        shown.add_column(title.replace(": ", "\n", 1), justify="left" if is_word else "right", no_wrap=is_word)
    for row in table.rows:
        shown.add_row(*(Text(cell.text + cell.marks, style="bold" if cell.bold else "") for cell in row))
    words = max(sum(len(cell.text) for cell in row[: table.words]) for row in table.rows)
    console = Console(width=max(100, words + 8 + 17 * (len(table.header) - table.words)))
    console.print(results["title"], style="italic", markup=False, highlight=False)
    console.print(shown)
    for sentence in explanations(results):
        console.print(sentence, markup=False, highlight=False)


def escape_latex(text: str) -> str:
    """Text that LaTeX shows as it is, with the marks as symbols and S_MTL as the paper writes it."""
    escaped = "".join(
        f"${_LATEX_MARKS[character]}$" if character in _LATEX_MARKS else _LATEX_ESCAPES.get(character, character)
        for character in text
    )
    return escaped.replace("S\\_MTL", "$S_{MTL}$").replace("<=", "$\\leq$")


def _columns(results: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (split, score)
        for split in _splits(results)
        for score in results["scores"]
        if any(score in row.get(split, {}) for row in results["rows"])
    ]


def _splits(results: dict[str, Any]) -> list[str]:
    return [split for split in SPLIT_TITLES.values() if any(split in row for row in results["rows"])]


def _names(row: dict[str, Any]) -> list[TableCell]:
    mark = RAW if row.get("settings", {}).get("raw") else ""
    return [TableCell(row["code"]), TableCell(row["name"], marks=mark)]


def _settings(row: dict[str, Any]) -> list[TableCell]:
    settings = row.get("settings")
    if settings is None:
        return [TableCell("")] * 4
    oversampling = "yes" if settings["oversampling"] else "no"
    return [
        TableCell(text)
        for text in (settings["encoder"], settings["audio"] or "", settings["adversarial"], oversampling)
    ]


def _score_cell(row: dict[str, Any], split: str, score: str) -> TableCell:
    entry = row.get(split, {}).get(score)
    if entry is None:
        return TableCell(ABSENT)
    return TableCell(f"{entry['value']:.3f}", entry["best"], entry.get("marks", ""))


def _about_scores(results: dict[str, Any]) -> str:
    spread = "; ± is the standard deviation over the seeds" if len(results["seeds"]) > 1 else ""
    return f"In brackets: 95 % intervals over speakers, which do not cover what other seeds would give{spread}."


def _p_value(p: float | None) -> str:
    if p is None:
        return ABSENT
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def _or_absent(value: Any) -> str:
    return ABSENT if value is None else str(value)


def _markdown_table(table: TextTable) -> str:
    def cell(entry: TableCell) -> str:
        text = re.sub(r"([|*_\\])", r"\\\1", entry.text)
        return (f"**{text}**" if entry.bold else text) + entry.marks

    aligned = [":--" if position < table.words else "--:" for position in range(len(table.header))]
    lines = [[title.replace("_", "\\_") for title in table.header], aligned, *([*map(cell, row)] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _html_table(table: TextTable) -> HtmlTable:
    # An empty cell leaves a column one of numbers, which stand to the right.
    rows: list[list[str | Cell | HtmlAudio]] = [
        [Cell("" if cell.text == ABSENT else cell.text + cell.marks, cell.bold) for cell in row] for row in table.rows
    ]
    return HtmlTable(table.header, rows)


def _latex_cell(cell: TableCell) -> str:
    text = escape_latex(cell.text)
    marks = " ".join(_LATEX_MARKS.get(mark, escape_latex(mark)) for mark in cell.marks)
    return (f"\\textbf{{{text}}}" if cell.bold else text) + (f"$^{{{marks}}}$" if marks else "")


def _latex_line(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


TEXT_FORMATS: dict[str, Callable[[dict[str, Any]], str]] = {".md": as_markdown, ".tex": as_latex, ".csv": as_csv}
"""By suffix, what writes the results as text."""
