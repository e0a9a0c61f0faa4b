"""The table that grows by rows: widths, labels with their numbers, windows, errors and warnings."""

import pytest

from paravox.inference.printed_records import RecordPrinter, fitted
from paravox.modeling.tasks import Task

TASKS = [
    Task("age", "scalar", range=(0, 100), unit="years"),
    Task("mood", "intensities", labels=("Horror", "Great Joy", "Awe")),
]


def record(name="x.wav", **more):
    return {"file": name, "age": 31.26, "mood": {"Horror": 0.34, "Great Joy": 0.9, "Awe": 0.0}} | more


def printed(capsys, records, paths=("x.wav",), **settings):
    printer = RecordPrinter(TASKS, paths, **settings)
    for one in records:
        printer.print(one)
    return capsys.readouterr().out.splitlines()


def test_without_a_terminal_each_row_is_one_line(capsys):
    name = "folder/" + "long_" * 40 + ".wav"
    lines = printed(capsys, [record(), record(name)], ["x.wav", name])
    gap = " " * (len(name) - 5 + 2)
    assert lines[0] == f"clip {gap}age (years)  mood"
    assert lines[1] == f"x.wav{gap}31.3         Great Joy 0.90, Horror 0.34, Awe 0.00"
    assert lines[2] == f"{name}  31.3         Great Joy 0.90, Horror 0.34, Awe 0.00"


@pytest.mark.parametrize("width", [46, 50, 60])
def test_a_label_stays_with_its_number(capsys, width):
    lines = printed(capsys, [record("folder/a_rather_long_name.wav")], ["folder/a_rather_long_name.wav"], width=width)
    assert max(map(len, lines)) <= width and len(lines) > 2
    assert not [line for line in lines[1:] if line.endswith(("Horror", "Joy", "Great", "Awe"))]
    words = " ".join(lines).split()
    assert words[words.index("Horror") + 1].startswith("0.34") and words[words.index("Joy") + 1].startswith("0.90")
    assert all(label in "\n".join(lines) for label in ("Great Joy 0.90", "Horror 0.34", "Awe 0.00"))
    # What the lines of the first column say together is the name.
    assert "".join(line.split("  ")[0].strip() for line in lines[1:]) == "folder/a_rather_long_name.wav"


def test_windows_get_rows_and_errors_a_line_of_their_own(capsys):
    windows = [record() | {"start": 0.0, "end": 1.5}, record(warning="silence") | {"start": 1.5, "end": 2.25}]
    lines = printed(capsys, [record(windows=windows), {"file": "y.wav", "error": "y.wav is empty"}], windowed=True)
    assert lines[0].split() == ["clip", "seconds", "age", "(years)", "mood"]
    assert [line.split()[:3] for line in lines[1:3]] == [["x.wav", "0.00-1.50", "31.3"], ["x.wav", "1.50-2.25", "31.3"]]
    assert lines[3:] == ["  warning: silence", "y.wav", "  error: y.wav is empty"]


def test_a_name_that_is_not_utf_8_is_printed(capsys):
    assert printed(capsys, [record("\udcff.wav")], ["\udcff.wav"])[1].startswith("?.wav  31.3")


def test_the_widest_column_gives_way_first():
    assert fitted([40, 10, 20], [5, 5, 5], 70) == [40, 10, 20]
    assert fitted([40, 10, 20], [5, 5, 5], 50) == [20, 10, 20]
    assert fitted([40, 10, 20], [5, 5, 18], 30) == [6, 6, 18]
    assert fitted([40, 10, 20], [30, 10, 18], 20) == [30, 10, 18]
