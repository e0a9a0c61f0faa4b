"""The program that measures false alarms, run small: what it writes, and what it refuses."""

import json
from pathlib import Path

import pytest

from paravox.modeling.errors import ConfigError
from paravox.recipes.burst2vec import false_alarms

SMALL = "--clips 40 30 --speakers 8 6 --sharing 0.4 --clustering 0 0.3 --repetitions 4 --draws 19 --seed 7".split()


def test_it_writes_rates_figures_and_the_command(capsys):
    results = false_alarms.main(["--output", "out/rates.json", *SMALL])
    assert results == json.loads(Path("out/rates.json").read_text())
    assert Path("out/rates.png").stat().st_size > 10_000 and "<svg" in Path("out/rates.svg").read_text()
    assert {name: results[name] for name in ("repetitions", "bootstrap_draws", "seed")} == {
        "repetitions": 4,
        "bootstrap_draws": 19,
        "seed": 7,
    }
    expected = "python recipes/burst2vec/false_alarms.py --output out/rates.json"
    assert results["command"] == " ".join([expected, *SMALL]) and results["seconds"] >= 0 and results["machine"]
    cases = [
        (clips, speakers, 0.4, clustering, kind, test)
        for clips, speakers in ((40, 8), (30, 6))
        for clustering in (0.0, 0.3)
        for kind in ("intensities", "scalar", "classes")
        for test in ("paper", "paired", "speakers", "bootstrap")
    ]
    assert [tuple(entry.values())[:6] for entry in results["rates"]] == cases
    assert {entry["rate"] for entry in results["rates"]} <= {0.0, 0.25, 0.5, 0.75, 1.0}
    printed = capsys.readouterr().out
    assert "False alarms" in printed and printed.count("40 │        8") == 6
    assert [line for line in printed.splitlines() if line.startswith("written")] == [
        f"written: out/rates.{suffix}" for suffix in ("json", "png", "svg")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--clips", "40"], "--clips has 1 numbers and --speakers has 2: give one of each for every size"),
        (["--repetitions", "0"], "--repetitions is 0: give a number of at least 1"),
        (["--draws", "-1"], "--draws is -1: give a number of at least 1"),
        (["--seed", "-1"], "--seed is -1: give a number of at least 0"),
    ],
)
def test_numbers_that_are_not_possible(arguments, message):
    with pytest.raises(ConfigError, match=f"^{message}$"):
        false_alarms.main(["--output", "out.json", *arguments])
    assert not Path("out.json").exists()


def test_the_committed_results_are_those_of_the_defaults():
    results = json.loads((Path(false_alarms.__file__).parent / "results" / "false_alarms.json").read_text())
    defaults = false_alarms.parse_arguments(["--output", "recipes/burst2vec/results/false_alarms.json"])
    assert results["command"] == f"python recipes/burst2vec/false_alarms.py --output {defaults.output}"
    assert (results["repetitions"], results["bootstrap_draws"], results["seed"]) == (
        defaults.repetitions,
        defaults.draws,
        defaults.seed,
    )
    assert len(results["rates"]) == 2 * 2 * 3 * 3 * 4 and results["repetitions"] >= 1000


def test_what_the_documents_say_of_the_committed_rates():
    results = json.loads((Path(false_alarms.__file__).parent / "results" / "false_alarms.json").read_text())
    for entry in results["rates"]:
        percent = round(100 * entry["rate"], 1)
        test, clustering, sharing = (entry[name] for name in ("test", "clustering", "sharing"))
        independent = test == "paper" and entry["kind"] != "classes"
        if test == "bootstrap":
            low, high = (5.5, 8) if entry["speakers"] == 45 else (6.5, 11)
        elif test == "speakers" or (clustering == 0 and not (independent and sharing)):
            low, high = 3.5, 6.6
        elif clustering == 0:
            low, high = 0, 0.6
        else:
            low, high = (14, 60) if independent else (30, 60)
        assert low <= percent <= high, entry
