"""Several seeds of one YAML: what was done is not done again, and the results file holds what the runs left."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from little_corpora import write_metadata_corpus

from paravox.evaluation.repeated_runs_figure import draw_repeated_runs
from paravox.recipes.burst2vec import repeat, train
from paravox.trainers.scoring import score_split

CONFIG = str(Path(train.__file__).parent / "configs" / "real_bursts.yaml")


@pytest.fixture(scope="module")
def repeated(tmp_path_factory, saved_encoders):
    """Two seeds on a tiny corpus, and how often the recipe was called by the first and by a second, longer command."""
    folder = tmp_path_factory.mktemp("repeat")
    tasks = yaml.safe_load(Path(CONFIG).read_text())["tasks"]
    corpus = write_metadata_corpus(folder / "corpus", tasks)
    command = [CONFIG, "--data_dir", str(corpus), "--encoder", str(saved_encoders["whisper"])]
    command += ["--num_train_epochs", "1", "--heads_first_epochs", "1", "--trainable_encoder_layers", "1"]
    command += ["--cache_dir", str(folder / "cache"), "--max_batch_seconds", "4", "--logging_steps", "1"]
    command += ["--output_dir", str(folder / "runs"), "--results_file", str(folder / "results.json")]
    calls = []
    run = train.main
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "main", lambda argv: calls.append(argv) or run(argv))
        repeat.main([*command, "--seeds", "1"])
        first = len(calls)
        results = repeat.main([*command, "--seeds", "1", "2"])
    return folder, results, first, len(calls) - first


def test_finished_runs_are_not_run_again(repeated):
    folder, results, first, second = repeated
    assert (first, second) == (2, 2)
    assert json.loads((folder / "results.json").read_text()) == results
    found = [(run["name"], run["seed"], run["adversarial"]) for run in results["runs"]]
    expected = {("adversarial", s, True) for s in (1, 2)} | {
        (n, s, False) for n in ("no_adversarial", "frozen_head") for s in (1, 2)
    }
    assert set(found) == expected and len(found) == 6


def test_every_run_has_the_scores_that_it_printed(repeated):
    folder, results, *_ = repeated
    for run in results["runs"]:
        place = folder / "runs" / f"{'no_adversarial' if run['name'] == 'frozen_head' else run['name']}_{run['seed']}"
        own = json.loads((place / "results.json").read_text())
        own = own["frozen_head"] if run["name"] == "frozen_head" else own
        for split in ("val", "test"):
            assert run[split] == pytest.approx(own[split], abs=1e-4)
            low, high = run[f"{split}_interval"]["emotion_ccc"]
            assert low <= high


def test_means_differences_and_ensembles_are_those_of_the_runs(repeated):
    folder, results, *_ = repeated
    scores = {
        name: [run["test"]["age_mae"] for run in results["runs"] if run["name"] == name]
        for name in ("adversarial", "frozen_head")
    }
    mean = results["means"]["adversarial"]["test"]["age_mae"]["value"]
    assert mean == pytest.approx(np.mean(scores["adversarial"]), abs=1e-4)
    difference = results["differences_to_frozen_head"]["adversarial"]["test"]["age_mae"]["value"]
    assert difference == pytest.approx(np.mean(scores["adversarial"]) - np.mean(scores["frozen_head"]), abs=2e-4)
    config = [CONFIG, "--data_dir", str(folder / "corpus")]
    tasks, labels, speakers = repeat.read_corpus(config)
    members = [np.load(folder / f"runs/adversarial_{seed}/predictions/test.npz") for seed in (1, 2)]
    mean_of_both = {task.name: (members[0][task.name] + members[1][task.name]) / 2 for task in tasks}
    expected = score_split(tasks, mean_of_both, labels["test"])
    found = {name: entry["value"] for name, entry in results["ensembles"]["adversarial"]["test"].items()}
    assert found == pytest.approx(expected, abs=1e-4)


def test_learning_curves_begin_with_the_frozen_head_and_end_with_the_last_epoch(repeated):
    folder, results, *_ = repeated
    curves = results["learning_curves"]
    assert [(curve["name"], curve["seed"]) for curve in curves] == [
        (name, seed) for seed in (1, 2) for name in ("adversarial", "no_adversarial")
    ]
    run = folder / "runs" / "no_adversarial_2"
    log = json.loads((run / "trainer_state.json").read_text())["log_history"]
    train = [1 - entry["loss/emotion/joint"] for entry in log if "loss/emotion/joint" in entry]
    frozen = json.loads((run / "frozen_head" / "results.json").read_text())["val"]["emotion_ccc"]
    last = next(entry["eval_emotion_ccc"] for entry in log if "eval_emotion_ccc" in entry)
    assert curves[-1]["val"] == [[0, pytest.approx(frozen, abs=1e-4)], [1, pytest.approx(last, abs=1e-4)]]
    assert [ccc for _, ccc in curves[-1]["train"]] == pytest.approx(train, abs=1e-4) and train


def test_the_figure_shows_every_variant_of_any_corpus(repeated, tmp_path):
    folder, results, *_ = repeated
    figures = [folder / "results.png", folder / "results.svg"]
    assert all(figure.stat().st_size > 10_000 for figure in figures)
    drawn = figures[1].read_text()
    # A Test without labels, and no task of intensities: Val is shown, without curves.
    for kind in ("means", "ensembles"):
        for variant in results[kind].values():
            del variant["test"]
    del results["constant"]["test"]
    draw_repeated_runs(results | {"learning_curves": []}, tmp_path / "val.json")
    shown = (tmp_path / "val.svg").read_text()
    for label in ("frozen head", "-Adv, ensemble", "adversarial, ensemble", "constant"):
        assert f"<!-- {label} -->" in drawn and f"<!-- {label} -->" in shown
    assert "<!-- Test: mean" in drawn and "<!-- Val: mean" in shown


def test_no_place_of_this_machine_is_written(repeated):
    folder, *_ = repeated
    assert str(folder) not in (folder / "results.json").read_text()
