"""The printed table: which number stands in which row and column."""

from paravox.evaluation.score_tables import print_scores


def cells(line):
    return [cell.strip() for cell in line.replace("┃", "│").split("│")[1:-1]]


def test_every_score_is_in_its_row_and_column(capsys):
    rows = {
        "constant prediction": {"val": {"emotion_ccc": 0.0, "age_mae": 9.87654}},
        "a model": {"val": {"emotion_ccc": 0.12349, "age_mae": 8.0, "s_mtl": None}, "test": {"age_mae": 7.5}},
    }
    print_scores("The title", rows)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].strip() == "The title"
    splits, metrics, *body = [cells(line) for line in lines if line[0] in "┃│"]
    assert splits == ["", "Val", "Val", "Val", "Test"]
    assert metrics == ["", "emotion CCC", "age MAE", "S_MTL", "age MAE"]
    assert body == [
        ["constant prediction", "0.000", "9.877", "", ""],
        ["a model", "0.123", "8.000", "", "7.500"],
    ]


def test_many_long_columns_are_not_cut(capsys):
    names = [f"a_rather_long_name_of_a_task_{number}_uar" for number in range(8)]
    print_scores(
        "A title that is longer than the table is wide, were it not for these columns",
        {"a row with a name": {split: dict.fromkeys(names, 0.5) for split in ("val", "test")}},
    )
    printed = capsys.readouterr().out
    assert all(f"{name.removesuffix('_uar')} UAR" in printed for name in names) and "…" not in printed


def test_no_rows_is_an_empty_table(capsys):
    print_scores("Nothing", {})
    assert "Nothing" in capsys.readouterr().out


def test_brackets_in_the_name_of_a_model_are_no_markup(capsys):
    print_scores("[bold]", {"runs/take [final]": {"val": {"age_mae": 1.0}}, "[laugh]": {"val": {"age_mae": 2.0}}})
    printed = capsys.readouterr().out
    assert "runs/take [final]" in printed and "[laugh]" in printed and "[bold]" in printed
