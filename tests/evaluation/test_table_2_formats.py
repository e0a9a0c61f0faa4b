"""Table 2 in all its formats, each read back and compared with the numbers."""

import io
import re

import pandas as pd
import planted_table
import pytest
from planted_table import EFFECTS

from paravox.evaluation import table_2_formats
from paravox.evaluation.html_page import HtmlFigure, write_page
from paravox.evaluation.table_2 import make_table
from paravox.evaluation.table_2_predictions import keep_predictions, read_table_predictions
from paravox.evaluation.table_2_suite import row_facts

SCORES = ["emotion_ccc", "age_mae", "country_uar", "s_mtl"]
# The columns of the paper's form.
PAPER = [*(("val", score) for score in SCORES), ("test", "s_mtl")]
SYMBOLS = {r"\clubsuit": "♣", r"\diamondsuit": "♦", r"\heartsuit": "♥", r"\spadesuit": "♠"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    suite = planted_table.read_suite(planted_table.write_suite(folder))
    facts = {row.code: row_facts(row, planted_table.SETTINGS[row.settings.name] | row.options) for row in suite.rows}
    keep_predictions(folder / "kept", planted_table.write_runs(folder), facts, "paravox table_2 suite.yaml")
    return make_table(suite, read_table_predictions(folder / "kept", list(EFFECTS), None))


def expected_cells(results, columns=PAPER):
    """By row, the value with three decimals, whether it is bold, and its marks."""
    return [
        [
            (f"{row[split][score]['value']:.3f}", row[split][score]["best"], row[split][score].get("marks", ""))
            for split, score in columns
        ]
        for row in results["rows"]
    ]


def markdown_tables(text):
    """Every table as a list of rows of cells; the header first."""
    tables = []
    for block in text.split("\n\n"):
        lines = [line.split(" | ") for line in block.splitlines() if line.startswith("|")]
        lines = [[cell.strip("| ") for cell in line] for line in lines]
        if lines:
            tables.append([lines[0], *lines[2:]])
    return tables


def parsed_cell(text, bold=r"\*\*(.*?)\*\*"):
    found = re.match(bold, text)
    value = found[1] if found else re.match(r"[-\d.]*", text)[0]
    return value, found is not None, "".join(re.findall("[♣♦♥]", text))


def test_markdown(results):
    text = table_2_formats.as_markdown(results)
    main, val, test, comparisons, runs = markdown_tables(text)
    assert main[0][:6] == ["Code", "Model(s)", "Encoder", "Audio", "Adversarial", "Oversampling"]
    assert main[0][6:] == ["Val: emotion CCC", "Val: age MAE", "Val: country UAR", r"Val: S\_MTL", r"Test: S\_MTL"]
    assert [[parsed_cell(cell) for cell in line[6:]] for line in main[1:]] == expected_cells(results)
    assert main[3][:6] == ["V 2", "worse at age", "large", "", "no", "no"]
    assert main[4][:6] == ["V3", "better♠", "base", "raw", "yes", "no"] and main[2][1] == r"first\_model"
    assert main[5][:6] == ["Ensemble A", "V1, V 2", "", "", "", ""]
    for split, table in (("val", val), ("test", test)):
        columns = [(split, score) for score in SCORES]
        found = [[parsed_cell(cell)[0].split(" ")[0] for cell in line[2:]] for line in table[1:]]
        assert found == [[value for value, _, _ in row] for row in expected_cells(results, columns)]
    entry = results["rows"][1]["val"]["age_mae"]
    low, high = entry["interval"]
    assert f"{entry['value']:.3f} [{low:.3f}, {high:.3f}] ± {entry['sd']:.3f}" in val[2][3]
    assert len(comparisons) == 1 + len(results["comparisons"])
    for line, entry in zip(comparisons[1:], results["comparisons"], strict=True):
        assert line[0] == entry["code"] and line[1] == f"{entry['compared_with']} {entry['mark']}"
        assert float(line[3]) == pytest.approx(entry["difference"], abs=6e-4)
        names = ("p_paper", "p_paired", "p_speakers", "p_bootstrap", "p_bootstrap_holm")
        assert [float(cell.strip("*")) for cell in line[5:]] == pytest.approx(
            [entry[name] for name in names], rel=0.06, abs=6e-4
        )
        assert [cell.startswith("**") for cell in line[5:]] == [entry[name] <= 0.05 for name in names]
    assert [line[:2] for line in runs[1:]] == [[run["code"], str(run["seed"])] for run in results["runs"]]
    assert "Trust the last column" in text and "Each value is the mean over 2 seeds" in text


def test_latex(results):
    text = table_2_formats.as_latex(results)
    body = re.search(r"\\midrule\n(.*)\\bottomrule", text, re.DOTALL)[1]
    lines = [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]
    found = []
    for line in lines:
        cells = []
        for cell in line[2:]:
            marks = "".join(SYMBOLS[symbol] for symbol in re.findall(r"\\\w+suit", cell))
            bold = re.match(r"\\textbf\{(.*?)\}", cell)
            cells.append((bold[1] if bold else re.match(r"[\d.]+", cell)[0], bold is not None, marks))
        found.append(cells)
    assert found == expected_cells(results)
    assert lines[1][:2] == ["V1", r"first\_model"] and lines[3][1] == r"better$^{\spadesuit}$"
    assert r"Planted, 100 \% known." in text and "Val: $S_{MTL}$" in text
    assert "%" not in text.replace(r"\%", "").removeprefix("% needs")


def test_latex_escapes_all_that_means_something_to_it():
    assert table_2_formats.escape_latex(r"a_b & 5 % of #1 {x} $ ~ ^ \ – ♥") == (
        r"a\_b \& 5 \% of \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} -- $\heartsuit$"
    )


def test_csv(results):
    table = pd.read_csv(io.StringIO(table_2_formats.as_csv(results)), keep_default_na=False)
    assert table["code"].tolist() == [row["code"] for row in results["rows"]]
    for (_, line), row in zip(table.iterrows(), results["rows"], strict=True):
        assert line["name"] == row["name"] and line["members"] == " ".join(row.get("members", []))
        for split in ("val", "test"):
            for score in SCORES:
                entry, name = row[split][score], f"{split}_{score}"
                assert float(line[name]) == entry["value"] and line[f"{name}_marks"] == entry.get("marks", "")
                assert str(line[f"{name}_best"]) == str(entry["best"])
                if "interval" in entry:
                    assert [float(line[f"{name}_low"]), float(line[f"{name}_high"])] == entry["interval"]
                    assert float(line[f"{name}_sd"]) == entry["sd"]
    assert table["encoder"].tolist() == ["", "large", "large", "base", ""]


def test_html(results, tmp_path):
    file = tmp_path / "table.html"
    write_page(file, results["title"], table_2_formats.html_sections(results))
    text = file.read_text()
    table = text[text.index("<table") : text.index("</table>")]
    lines = re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]
    found = []
    for line in lines:
        cells = re.findall(r"<t[dh].*?>(.*?)</t[dh]>", line, re.DOTALL)[6:]
        found.append(
            [
                (re.search(r"[\d.]+", cell)[0], re.search("<strong|<b>", cell) is not None, re.sub("[^♣♦♥]", "", cell))
                for cell in cells
            ]
        )
    assert found == expected_cells(results)
    assert not re.findall(r"""(?:src|href)=["']?https?://""", text)
    assert text.count("data:image/svg+xml;base64,") == 2


def test_the_terminal(results, capsys):
    table_2_formats.print_table_2(results)
    printed = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line[:1] == "│"]
    assert [[parsed_cell(cell)[0] for cell in line[2:]] for line in lines] == [
        [value for value, _, _ in row] for row in expected_cells(results)
    ]
    assert lines[3][:2] == ["V3", "better♠"]


def test_figures_show_every_value_with_its_interval(results):
    sections = {section.title: section.parts for section in table_2_formats.html_sections(results)}
    assert [type(part) for part in sections["Figures"]] == [HtmlFigure, HtmlFigure]
    for split, part in zip(("val", "test"), sections["Figures"], strict=True):
        panels = part.figure.axes
        assert [axes.get_title().split(": ")[0].lower() for axes in panels] == [split] * 4
        assert [tick.get_text() for tick in panels[0].get_yticklabels()] == ["V1", "V 2", "V3", "Ensemble A"]
        for score, axes in zip(SCORES, panels, strict=True):
            for row, bar in zip(results["rows"][1:], axes.containers, strict=True):
                entry = row[split][score]
                assert bar.lines[0].get_xdata()[0] == entry["value"]
                ends = bar.lines[2][0].get_segments()[0][:, 0]
                assert ends == pytest.approx(entry["interval"])
            constant = results["rows"][0][split][score]["value"]
            drawn = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
            # In age, for example, all rows lie within 3 years, and the constant prediction is 5 years away from them.
            assert drawn == ([constant] if score == "country_uar" else [])


def test_without_s_mtl_test_has_the_scores_of_the_tasks(results):
    fewer = results | {"scores": ["age_mae"]}
    assert table_2_formats.paper_table(fewer).header == ["Code", "Model(s)", "Val: age MAE", "Test: age MAE"]


def test_what_is_not_known_is_a_dash(results):
    runs = [entry | {"seconds": None, "machine": None} for entry in results["runs"]]
    assert table_2_formats.run_table(results | {"runs": runs}).rows[0][2:] == [("-", False, ""), ("-", False, "")]
    rows = [{"code": "", "name": "constant prediction"}, *results["rows"][1:]]
    table = table_2_formats.paper_table(results | {"rows": rows})
    assert [cell.text for cell in table.rows[0]] == ["", "constant prediction", "-", "-", "-", "-", "-"]
