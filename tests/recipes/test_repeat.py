"""Several seeds of one YAML: every row of the table comes from the runs that were trained as the row is named."""

import json
from importlib import import_module
from pathlib import Path

import little_runs
import numpy as np
import pytest
import yaml
from little_corpora import write_metadata_corpus

from paravox.modeling.errors import ConfigError
from paravox.recipes.burst2vec import repeat
from paravox.runs import training_runs

YAML = str(Path(repeat.__file__).parent / "configs" / "real_bursts.yaml")
# Errors in age, in years, that the stub trainer makes.
ADVERSARIAL, NO_ADVERSARIAL, FROZEN_HEAD = 2.0, 4.0, 7.0


@pytest.fixture
def trained(monkeypatch):
    """In the place of train.py, a stub that makes an error which depends on `--adversarial`; the list of its calls.

    Odd seeds predict too high an age and even ones too low an age, so that the ensemble of both is better than each.
    """
    calls = []

    def stub(program, arguments, log):
        assert program == "burst2vec.train"
        options = [part for argument in arguments[1:] for part in argument.split("=")]
        given = dict(zip(options[::2], options[1::2], strict=True))
        calls.append((arguments[0], given))
        seed, adversarial = int(given["--seed"]), {"true": True, "false": False}[given["--adversarial"]]
        error = (ADVERSARIAL if adversarial else NO_ADVERSARIAL) + 0.1 * seed
        folder, sign = Path(given["--output_dir"]), 1 if seed % 2 else -1
        little_runs.write_run(folder, sign * error, adversarial, best_metric=given.get("--best_metric"))
        # The heads of an adversarial run are adversarial too; the table's frozen head is the one without.
        frozen_head = FROZEN_HEAD + adversarial + 0.1 * seed
        little_runs.write_stage(write_folder(folder / "frozen_head"), sign * frozen_head)

    monkeypatch.setattr(training_runs, "start", stub)
    # Plotting takes longer than all the rest.
    monkeypatch.setattr(repeat, "plot_repeated_runs", lambda results, path: [])
    return calls


def write_folder(folder):
    folder.mkdir(parents=True)
    return folder


COMMAND = ["settings.yaml", "--output_dir", "runs", "--output", "out/results.json", "--seeds", "1", "2"]


def test_every_row_is_of_the_runs_that_were_trained_as_it_is_named(trained, capsys):
    results = repeat.main([*COMMAND, "--learning_rate", "1e-5"])
    settings = {(given["--seed"], given["--adversarial"], given["--output_dir"]) for _, given in trained}
    assert settings == {
        (str(seed), adversarial, f"runs/{variant}_{seed}")
        for seed in (1, 2)
        for variant, adversarial in (("adversarial", "true"), ("no_adversarial", "false"))
    }
    assert all(yaml_file == "settings.yaml" for yaml_file, _ in trained)
    assert all(given["--learning_rate"] == "1e-5" and given["--overwrite"] == "true" for _, given in trained)

    errors = {"adversarial": ADVERSARIAL, "no_adversarial": NO_ADVERSARIAL, "frozen_head": FROZEN_HEAD}
    expected = {(name, seed): error + 0.1 * seed for name, error in errors.items() for seed in (1, 2)}
    assert {(run["name"], run["seed"]): run["test"]["age_mae"] for run in results["runs"]} == pytest.approx(expected)
    assert {(run["name"], run["adversarial"]) for run in results["runs"]} == {
        ("adversarial", True),
        ("no_adversarial", False),
        ("frozen_head", False),
    }
    for name, error in errors.items():
        mean = results["means"][name]["test"]["age_mae"]["value"]
        assert mean == pytest.approx(error + 0.15), name
        # One seed predicts too high an age, the other one too low an age.
        assert results["ensembles"][name]["test"]["age_mae"]["value"] == pytest.approx(0.05), name
        if name != "frozen_head":
            difference = results["differences_to_frozen_head"][name]["test"]["age_mae"]["value"]
            assert difference == pytest.approx(error - FROZEN_HEAD), name
    assert set(results["differences_to_frozen_head"]) == {"adversarial", "no_adversarial"}

    table = {cells[0]: cells[1:] for cells in table_cells(capsys.readouterr().out)}
    column = 3 + len(little_runs.CONSTANT["val"]) - 1  # after the five scores of Val: emotion CCC and UAR, then age
    assert table["constant prediction"][column] == "12.500"
    assert table["adversarial"][column] == "2.150" and table["no adversarial"][column] == "4.150"
    assert table["frozen head"][column] == "7.150" and table["adversarial, ensemble"][column] == "0.050"


def table_cells(printed):
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in printed.splitlines() if line.startswith("│")]


def test_the_constant_prediction_is_that_of_train(trained):
    """The stub says what a constant prediction from Train's labels scores; one from Test's labels scores otherwise."""
    results = repeat.main(COMMAND)
    expected = {
        split: {name: round(value, 4) for name, value in scores.items()}
        for split, scores in little_runs.CONSTANT.items()
    }
    assert results["constant"] == expected
    ages = little_runs.true_labels("test")["age"]
    assert np.abs(ages - np.median(ages)).mean() != pytest.approx(expected["test"]["age_mae"], abs=0.1)


def test_the_results_file_holds_what_is_returned_and_how_it_was_made(trained, tmp_path):
    results = repeat.main([*COMMAND, "--data_dir", str(tmp_path / "my bursts"), "--encoder=models/whisper-base"])
    file = Path("out/results.json")
    assert json.loads(file.read_text()) == results
    assert results["command"] == (
        "paravox repeat settings.yaml --output_dir runs --output out/results.json --seeds 1 2 "
        "--data_dir 'my bursts' --encoder=whisper-base"
    )


def test_finished_runs_are_not_run_again(trained, capsys):
    first = repeat.main([*COMMAND[:-2], "1"])
    assert len(trained) == 2
    both = repeat.main(COMMAND)
    assert [given["--seed"] for _, given in trained] == ["1", "1", "2", "2"]
    assert "runs/adversarial_1 is finished" in capsys.readouterr().out
    assert [run for run in both["runs"] if run["seed"] == 1 and run["name"] == "adversarial"] == [first["runs"][0]]


def test_overwrite_repeats_them(trained):
    for _ in range(2):
        for folder in Path("runs").glob("*/frozen_head"):
            folder.rename(folder.with_name("old"))
        repeat.main([*COMMAND[:-2], "1", "--overwrite"])
    assert len(trained) == 4


def test_the_table_says_that_val_selected_only_where_it_did(trained, capsys):
    repeat.main(COMMAND)
    assert "Val" not in capsys.readouterr().out.split("\n┏")[0].splitlines()[-1]
    repeat.main([*COMMAND, "--output_dir", "others", "--best_metric", "0.5"])
    printed = " ".join(capsys.readouterr().out.split())
    assert "Means over 2 seeds, and ensembles of them (Val was used for selection, Test was not)" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--seed", "7"], "--seed cannot be passed on to train.py: give --seeds"),
        (["--seed=7"], "--seed cannot be passed on to train.py: give --seeds"),
        (["--adversarial", "true"], "--adversarial cannot be passed on .*: each seed is trained with and without it"),
        (["--resume_from_checkpoint", "last"], "--resume_from_checkpoint cannot be passed on"),
    ],
)
def test_options_that_the_program_sets_are_refused(trained, options, message):
    with pytest.raises(ConfigError, match=message):
        repeat.main([*COMMAND[:5], *options])
    assert not trained


def test_no_option_is_abbreviated(trained):
    repeat.main([*COMMAND, "--outp", "elsewhere"])
    assert all(given["--outp"] == "elsewhere" for _, given in trained) and len(trained) == 4


def test_real_runs_from_end_to_end(tmp_path, saved_encoders, monkeypatch):
    """One seed of the real program, whose two runs are trained on a tiny corpus."""
    monkeypatch.setattr(
        training_runs, "start", lambda program, argv, log: import_module(f"paravox.recipes.{program}").main(argv)
    )
    tasks = yaml.safe_load(Path(YAML).read_text())["tasks"]
    corpus = write_metadata_corpus(tmp_path / "corpus", tasks)
    command = [YAML, "--data_dir", str(corpus), "--encoder", str(saved_encoders["whisper"]), "--seeds", "1"]
    command += ["--num_train_epochs", "1", "--heads_first_epochs", "1", "--trainable_encoder_layers", "1"]
    command += ["--cache_dir", str(tmp_path / "cache"), "--max_batch_seconds", "4", "--logging_steps", "1"]
    command += ["--output_dir", str(tmp_path / "runs"), "--output", str(tmp_path / "results.json")]
    results = repeat.main(command)
    assert {path.name for path in tmp_path.glob("results.*")} == {"results.json", "results.png", "results.svg"}
    for run in results["runs"]:
        folder = tmp_path / "runs" / f"{'no_adversarial' if run['name'] == 'frozen_head' else run['name']}_1"
        own = json.loads((folder / "results.json").read_text())
        config = json.loads((folder / "model" / "config.json").read_text())
        assert config["adversarial"] == run["adversarial"] == (run["name"] == "adversarial")
        scores = own["frozen_head"] if run["name"] == "frozen_head" else own
        for split in ("val", "test"):
            assert run[split] == pytest.approx(scores[split], abs=1e-4)
            assert results["constant"][split] == pytest.approx(own["constant"][split], abs=1e-4)
            low, high = run[f"{split}_interval"]["emotion_ccc"]
            assert low <= high
    assert len(results["runs"]) == 3
    # The median age of Train, by hand.
    lines = [line.split(",") for line in (corpus / "metadata.csv").read_text().splitlines()]
    column = lines[0].index("age")
    ages = {split: np.array([float(line[column]) for line in lines if line[2] == split]) for split in ("train", "test")}
    expected = np.abs(ages["test"] - np.median(ages["train"])).mean()
    assert results["constant"]["test"]["age_mae"] == pytest.approx(expected, abs=1e-4)
    curves = results["learning_curves"]
    assert [(curve["name"], curve["seed"]) for curve in curves] == [("adversarial", 1), ("no_adversarial", 1)]
    assert [epoch for epoch, _ in curves[0]["val"]] == [0, 1] and curves[0]["train"]
    assert str(tmp_path) not in (tmp_path / "results.json").read_text()
