"""A small part of `benchmarks/mutated_tables.py`: no damaged table ends in a foreign error or loses clips silently."""

import importlib.util
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "mutated_tables.py"


@pytest.fixture(scope="module")
def program():
    spec = importlib.util.spec_from_file_location("mutated_tables", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    # Where dataclasses look their modules up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_damaged_tables_of_every_reader_are_read_right_or_refused_in_our_words(program):
    outcomes, faults = program.run_chunk(count=50, seed=7)
    assert not faults
    assert set(outcomes) >= {"metadata_csv", "exvo", "msp_podcast", "iemocap", "msp_improv", "predictions", "results"}
    assert sum(counted["right"] for counted in outcomes.values()) > 10


def test_the_independent_parser_sees_what_a_reader_loses(program, tmp_path):
    reader = program.make_readers(tmp_path)["metadata_csv"]
    assert program.outcome_of(reader, reader.content) == ("right", "")
    sound = reader.read
    reader.read = lambda: {split: clips.select(range(1)) for split, clips in sound().items()}
    assert program.outcome_of(reader, reader.content)[0] == "silent loss"
    reader.read = lambda: {}["key"]
    assert program.outcome_of(reader, reader.content) == ("foreign error", "KeyError: 'key'")
