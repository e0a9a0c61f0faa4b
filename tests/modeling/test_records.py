"""Windows and the record of a recording that was cut."""

import pytest

from paravox.modeling.errors import ConfigError
from paravox.modeling.records import RecordNames, Windows, parse_windows, record_of_windows
from paravox.modeling.tasks import Task

NAMES = RecordNames.beside([Task("age", "scalar", range=(0, 100))])


def test_windows_cover_a_recording_to_its_end():
    for samples in range(1, 60):
        for length, stride in ((10, 10), (10, 3), (10, 15), (1, 1)):
            spans = Windows(length / 100, stride / 100).spans(samples, 100)
            assert spans[0][0] == 0 and spans[-1][1] == samples
            assert all(end - start == min(length, samples) for start, end in spans)
            steps = [after[0] - before[0] for before, after in zip(spans, spans[1:], strict=False)]
            assert steps[:-1] == [stride] * len(steps[:-1]) and all(0 < step <= stride for step in steps)


def test_options():
    assert parse_windows() is None
    assert parse_windows(2.0) == Windows(2.0, 2.0) and parse_windows(2.0, 0.5) == Windows(2.0, 0.5)
    for options in ((0.0,), (float("nan"),), (1.0, float("inf")), (None, 1.0)):
        with pytest.raises(ConfigError, match=r"give (a number of seconds above 0|both)"):
            parse_windows(*options)


def test_the_whole_has_the_means_and_a_warning_that_all_windows_share():
    records = [{"age": 20.0, "mood": {"joy": 0.5}, "embeddings": {"joint": {"age": [0.0, 2.0]}}}]
    records.append({"age": 30.0, "mood": {"joy": 1.0}, "embeddings": {"joint": {"age": [1.0, 4.0]}}})
    spans = [(0.0, 1.0), (1.0, 2.0)]
    whole = record_of_windows(NAMES, spans, records, ["silence", None])
    assert list(whole) == ["age", "mood", "embeddings", "windows"] and whole["age"] == 25.0
    assert whole["mood"] == {"joy": 0.75} and whole["embeddings"] == {"joint": {"age": [0.5, 3.0]}}
    assert whole["windows"][0] == {"start": 0.0, "end": 1.0, **records[0], "warning": "silence"}
    assert "warning" not in whole["windows"][1]
    assert record_of_windows(NAMES, spans, records, ["silence", "silence"])["warning"] == "silence"
    assert "warning" not in record_of_windows(NAMES, spans, records, ["silence", "too short"])
    assert "warning" not in record_of_windows(NAMES, spans, records, [None, None])


def test_names_beside_tasks_of_the_same_names():
    tasks = [Task(name, "scalar", range=(0, 1)) for name in ("windows", "start", "start_", "warning")]
    records = [{task.name: number / 10 for number, task in enumerate(tasks, start=row)} for row in (0, 2)]
    whole = record_of_windows(RecordNames.beside(tasks), [(0.0, 1.0), (1.0, 2.0)], records, ["silence", "silence"])
    means = {"windows": 0.1, "start": 0.2, "start_": 0.3, "warning": 0.4}
    assert {name: round(whole[name], 6) for name in means} == means and set(whole) == {*means, "warning_", "windows_"}
    assert whole["windows_"][1] == records[1] | {"start__": 1.0, "end": 2.0, "warning_": "silence"}
