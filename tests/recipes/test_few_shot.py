"""The study's engine: a trial is the same alone, in the grid, in any order, on any executor, and after a kill."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from paravox.modeling.audio import load_audio
from paravox.modeling.errors import ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.recipes.prefinetuning import few_shot, prefinetune
from paravox.study.checkpoints import open_checkpoint_model
from paravox.study.draws import draw_clips, read_speakers
from paravox.study.grid import StudySettings, Trial
from paravox.study.results_file import ResultsFile

CONFIGS = Path(few_shot.__file__).parent / "configs"
FEW_SHOT_CONFIGS = [
    CONFIGS / f"{name}.yaml" for name in ("paper_few_shot", "open_few_shot", "open_few_shot_full", "open_adapt")
]
STUDY = ["--corpora", "emodb", "turev", "--speakers", "0001", "0011", "--emotions", "angry", "happy"]
STUDY += ["--shots", "2", "4", "8", "--repetitions", "2"]
HEAD = ["--mode", "head", "--threads", "1"]
ADAPT = ["--mode", "adapt", "--threads", "1"]
FULL = ["--mode", "full", "--max_epochs", "3", "--learning_rate", "0.003", "--patience", "2", "--threads", "1"]
SMALL = ["--only", "checkpoint=none,emodb+turev", "k=2", "emotion=angry"]
# What a trial must give again: its best epoch and its prediction on every clip.
RESULT = ["best_epoch", "epochs", "predictions", "macro_f1", "evaluation_macro_f1", "status"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, open_corpora, saved_encoders):
    """Tiny checkpoints of all combinations of two corpora, their lower layer frozen."""
    folder = tmp_path_factory.mktemp("checkpoints")
    options = ["--data_dir", str(open_corpora), "--encoder", str(saved_encoders["whisper"]), "--output_dir", folder]
    options += ["--corpora", "emodb", "turev", "--max_steps", "4", "--save_strategy", "no", "--use_cpu", "true"]
    options += ["--trainable_encoder_layers", "1", "--cache_dir", folder / "cache", "--encoder_learning_rate", "0.01"]
    prefinetune.main([str(CONFIGS / "open_corpora.yaml"), *map(str, options), "--power_set"])
    return folder


@pytest.fixture
def places(checkpoints, esd_folder, saved_encoders):
    where = {"--data_dir": esd_folder, "--encoder": saved_encoders["whisper"], "--checkpoints_dir": checkpoints}
    return [str(part) for pair in where.items() for part in pair]


@pytest.fixture
def run(places):
    def run(output_dir, *options):
        state = few_shot.main([*STUDY, *places, "--output_dir", str(output_dir), *options])
        return state, table(output_dir)

    return run


def table(output_dir):
    rows = ResultsFile(Path(output_dir) / "results.sqlite", {}).table()
    return rows.set_index(list(Trial._fields)).sort_index()


@pytest.mark.parametrize("config", FEW_SHOT_CONFIGS, ids=lambda path: path.stem)
def test_a_dry_run_counts_from_the_yaml_alone(config, capsys):
    specified = {"paper_few_shot": 33_600, "open_few_shot": 15_120, "open_few_shot_full": 24, "open_adapt": 945}[
        config.stem
    ]
    assert few_shot.main([str(config), "--dry_run"]) == {"specified": specified}
    assert f"= {specified:,} trials" in capsys.readouterr().out and not list(Path().iterdir())


@pytest.mark.parametrize("mode", [HEAD, FULL, ADAPT], ids=["head", "full", "adapt"])
def test_a_dry_run_estimates_the_time_where_it_can(places, mode, capsys):
    few_shot.main([*STUDY, *mode, *places, "--shots", "2", "64", "--dry_run"])
    printed = capsys.readouterr().out
    assert "= 64 trials" in printed and "32 trials lack shots; the rest take at most about 0:00:" in printed
    assert not Path("runs").exists()


def test_mode_adapt_stores_the_layer_that_the_shots_chose(run):
    state, rows = run("adapted", *ADAPT, "--only", "checkpoint=none", "speaker=0011", "k=2,8")
    assert state == {"specified": 96, "finished": 8}
    assert set(rows["message"]) <= {f"layer {layer}, C {c}" for layer in range(3) for c in ("1", "0.1", "0.01")}
    assert set(rows.xs(2, level="k")["message"]) == {"layer 1, C 1"} and (rows["seconds"] > 0).all()


def test_half_precision_learns_the_same_to_its_rounding_and_the_same_in_every_run(run, capsys):
    options = [*FULL, "--only", "checkpoint=none", "k=4", "emotion=angry", "speaker=0011"]
    _, exact = run("exact", *options)
    assert set(exact["device"]) == {"cpu float32"} and (exact["seconds"] > 0).all()
    printed = capsys.readouterr()
    assert printed.err.startswith("running on cpu in float32\n")
    assert "2 trials finished, " in printed.out and " per hour with 1 at the same time" in printed.out
    _, rounded = run("rounded", *options, "--dtype", "bfloat16", "--device", "cpu")
    assert set(rounded["device"]) == {"cpu bfloat16"}
    agree = [
        np.mean([ours == theirs for ours, theirs in zip(*pair, strict=True)])
        for pair in zip(exact["predictions"], rounded["predictions"], strict=True)
    ]
    assert np.mean(agree) >= 0.7
    _, again = run("again", *options, "--dtype", "bfloat16")
    pd.testing.assert_frame_equal(again[RESULT], rounded[RESULT])


@pytest.mark.slow
@pytest.mark.parametrize("mode", [HEAD, [*FULL, *SMALL]], ids=["head", "full"])
def test_a_trial_is_the_same_alone_in_any_order_and_on_two_processes(run, mode):
    _, grid = run("grid", *mode)
    assert (grid["status"] == "finished").all() and len(grid) == (4 * 2 * 2 * 3 * 2 if mode == HEAD else 2 * 2 * 2)
    _, processes = run("processes", *mode, "--trials_per_device", "2")
    pd.testing.assert_frame_equal(processes[RESULT], grid[RESULT])
    for trial in (grid.index[0], grid.index[-1]):
        names = zip(Trial._fields, trial, strict=True)
        alone = run(
            "alone",
            *mode[: len(mode) - len(SMALL) if mode != HEAD else None],
            "--only",
            *(f"{name}={value}" for name, value in names),
        )[1]
        pd.testing.assert_series_equal(alone.loc[trial, RESULT], grid.loc[trial, RESULT])


def test_ray_gives_the_same(run):
    pytest.importorskip("ray", reason="the ray extra is not installed")
    options = [*HEAD, "--only", "checkpoint=none,emodb"]
    _, grid = run("grid", *options)
    _, other = run("ray", *options, "--executor", "ray", "--processes", "2")
    pd.testing.assert_frame_equal(other[RESULT], grid[RESULT])


@pytest.mark.slow
def test_a_node_that_is_lost_in_the_middle_changes_no_row(run, monkeypatch):
    """Two local raylets, of which one is killed while it runs a trial."""
    pytest.importorskip("ray", reason="the ray extra is not installed")
    from ray.cluster_utils import Cluster

    options = [*FULL, *SMALL]
    _, grid = run("grid", *options)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    given = []

    def run_jobs_and_lose_a_node(*arguments):
        for rows in few_shot_run_jobs(*arguments):
            given.extend(Trial(*(row[name] for name in Trial._fields)) for row in rows)
            if len(given) == 3:
                cluster.remove_node(lost, allow_graceful=False)
            yield rows

    few_shot_run_jobs = few_shot.run_jobs
    monkeypatch.setattr(few_shot, "run_jobs", run_jobs_and_lose_a_node)
    try:
        lost = cluster.add_node(num_cpus=1)
        _, other = run("ray", *options, "--executor", "ray", "--processes", "2")
    finally:
        cluster.shutdown()
    assert len(given) == len(set(given)) == len(grid) == 8
    pd.testing.assert_frame_equal(other[RESULT], grid[RESULT])


def test_without_ray_the_extra_is_named(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'paravox\[ray\]', or use --executor processes"):
        run("study", *HEAD, "--executor", "ray")


def test_the_order_of_trials_does_not_matter(run, monkeypatch):
    _, grid = run("grid", *HEAD)
    group = few_shot.group_into_jobs
    shuffled = lambda study, trials: group(study, random.Random(0).sample(trials, len(trials)))  # noqa: E731
    monkeypatch.setattr(few_shot, "group_into_jobs", shuffled)
    _, other = run("other", *HEAD)
    pd.testing.assert_frame_equal(other[RESULT], grid[RESULT])


@pytest.mark.slow
def test_killed_at_ten_moments_no_trial_is_lost_or_doubled(run, places):
    options = [*FULL, "--only", "checkpoint=none,emodb+turev"]
    _, whole = run("whole", *options)
    root = Path(few_shot.__file__).resolve().parents[2]
    command = [sys.executable, str(root / "recipes/prefinetuning/few_shot.py"), *STUDY, *places, *options]
    command += ["--output_dir", "killed"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(root), *sys.path])),
        "OMP_NUM_THREADS": "1",
    }
    moments, counts = random.Random(0), [0]
    for _ in range(10):
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # From the first moment that it writes on, within the time of two trials, however fast the machine is.
        until = time.monotonic() + 60
        while process.poll() is None and count_rows("killed") <= counts[-1] and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(2 * whole["seconds"].mean() * moments.random())
        process.send_signal(signal.SIGKILL)
        process.wait()
        counts.append(count_rows("killed"))
        assert counts[-1] >= counts[-2]
    # Kills with trials done and trials left; a machine that stalls may spoil some of the ten.
    assert sum(0 < count < len(whole) for count in set(counts)) >= 3
    _, resumed = run("killed", *options)
    assert len(resumed) == len(whole) and not resumed.index.has_duplicates
    pd.testing.assert_frame_equal(resumed[RESULT], whole[RESULT])


def count_rows(output_dir):
    path = Path(output_dir) / "results.sqlite"
    if not path.is_file():
        return 0
    with sqlite3.connect(path, timeout=60) as connection:
        try:
            return connection.execute("SELECT COUNT(*) FROM trials").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


def test_what_is_done_is_not_run_again(run, monkeypatch):
    _, first = run("study", *HEAD, "--only", "checkpoint=none")
    ran = []
    run_job = few_shot.run_job
    monkeypatch.setattr(few_shot, "run_job", lambda place, trials: ran.extend(trials) or run_job(place, trials))
    state, whole = run("study", *HEAD)
    assert len(first) == 24 and len(whole) == 96 and len(ran) == 72 and state["finished"] == 96
    assert not any(trial.checkpoint == "none" for trial in ran)


def test_an_export_is_taken_back(run, monkeypatch):
    _, whole = run("first", *HEAD, "--output", "trials.csv.gz")
    monkeypatch.setattr(few_shot, "run_job", None)  # nothing is left to run
    state, taken = run("second", *HEAD, "--resume_from", "trials.csv.gz")
    assert state["finished"] == 96
    pd.testing.assert_frame_equal(taken[RESULT], whole[RESULT], check_dtype=False, check_exact=True)


def test_trials_that_lack_shots_are_rows_that_say_so(run):
    state, rows = run("study", *HEAD, "--shots", "2", "64")
    lacking = rows[rows["status"] == "lacking_shots"]
    assert state == {"specified": 64, "finished": 32, "lacking_shots": 32}
    assert set(lacking.index.get_level_values("k")) == {64}
    assert lacking["message"].iloc[0].startswith("32 clips of each needed, 4 positive")


def test_checkpoints_that_are_not_there_yet_wait(run, capsys):
    state, _ = run("study", *HEAD, "--checkpoints_dir", "nowhere")
    assert state == {"specified": 96, "finished": 24}
    assert "3 checkpoints do not exist yet (emodb, turev, emodb+turev), so 72 trials wait" in capsys.readouterr().out


def test_head_trials_are_scikit_learn_s(run, places):
    """Every decision of a checkpoint, from features that are computed here from the model."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score

    _, rows = run("study", *HEAD, "--only", "checkpoint=emodb")
    options = dict(zip(places[::2], places[1::2], strict=True))
    model = open_checkpoint_model("emodb", options["--checkpoints_dir"], options["--encoder"])
    study = StudySettings(["emodb", "turev"], ["0001", "0011"], ["angry", "happy"], [2, 4, 8], 2)
    clips = read_speakers(study, options["--data_dir"])
    extractor = Burst2VecFeatureExtractor.from_encoder(options["--encoder"])
    with torch.no_grad():
        pooled = [model(**extractor([path], return_tensors="pt")).pooled_states[0].numpy() for path in clips["path"]]
    pooled = np.stack(pooled).astype(np.float64)
    train = pooled[clips["split"] == "train"]
    features = (pooled - train.mean(axis=0)) / train.std(axis=0)
    for key, row in rows.iterrows():
        drawn = draw_clips(clips, Trial(*key), "esd", 0)
        head = LogisticRegression(tol=1e-10, max_iter=10_000).fit(features[drawn.train], drawn.train_labels)
        predicted = head.predict(features[drawn.test])
        assert "".join("01"[int(value)] for value in predicted) == row["predictions"]
        assert row["macro_f1"] == pytest.approx(f1_score(drawn.test_labels, predicted, average="macro"))


@pytest.mark.slow
def test_the_layer_that_the_evaluation_prefers(run, capsys):
    run("study", *HEAD, "--layer", "evaluation")
    (chosen,) = (
        sqlite3.connect("study/results.sqlite").execute("SELECT value FROM study WHERE key = 'layer'").fetchone()
    )
    means = {layer: run(f"layer{layer}", *HEAD, "--layer", layer)[1]["evaluation_macro_f1"].mean() for layer in "012"}
    assert chosen.strip('"') == max(means, key=means.get)
    with pytest.raises(ConfigError, match="layer 9: the encoder has the layers 0 to 2"):
        run("layer9", *HEAD, "--layer", "9")


def test_a_results_file_holds_one_study(run):
    run("study", *HEAD)
    with pytest.raises(ConfigError, match="holds a study with mode 'head', this one has 'full'"):
        run("study", *FULL)
    Path("other").mkdir()
    Path("other/results.sqlite").write_text("not a database, but long enough to be read as the header of one")
    with pytest.raises(ConfigError, match="is no results file"):
        run("other", *HEAD)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "moon"], "device 'moon' cannot be used here"),
        (["--mode", "full", "--dtype", "float16"], "mode full cannot learn in float16"),
        (["--trials_per_device", "0"], "trials_per_device is 0: give a whole number of at least 1"),
        (
            ["--only", "mood=happy"],
            "only 'mood=happy': 'mood' is not a field of a trial: use one of checkpoint, speaker",
        ),
        (["--only", "k=3"], "only 'k=3': '3' does not occur in the grid"),
        (["--resume_from", "nowhere.csv.gz"], "resume_from nowhere.csv.gz does not exist"),
    ],
)
def test_what_does_not_fit_is_refused(run, options, message):
    with pytest.raises(ConfigError, match=message):
        run("study", *HEAD, *options)


def test_running_needs_the_recordings():
    with pytest.raises(ConfigError, match="data_dir is not given: it is needed to run trials"):
        few_shot.main([*STUDY, *HEAD])


def test_selection_last_uses_no_evaluation_label(run):
    _, rows = run("study", *FULL, *SMALL, "--selection", "last")
    assert rows["evaluation_macro_f1"].isna().all() and (rows["best_epoch"] == 3).all() and (rows["epochs"] == 3).all()


def test_only_top_layers_learn(run, places):
    _, rows = run("study", *SMALL, "--mode", "top_layers", "--top_layers", "1", "--max_epochs", "2", "--threads", "1")
    assert (rows["status"] == "finished").all() and len(rows) == 8


@pytest.mark.slow
def test_the_compare_baseline_stands_beside_the_checkpoints(run, esd_folder):
    smile = pytest.importorskip("opensmile", reason="the compare extra is not installed")
    options = [*HEAD, "--baselines", "compare_2016", "--max_epochs", "5", "--only", "checkpoint=compare_2016,none"]
    state, rows = run("study", *options)
    # 24 trials of each; the baseline is not among the checkpoints that the study specifies.
    assert state == {"specified": 120, "finished": 48} and set(rows.loc["compare_2016", "status"]) == {"finished"}
    (features,) = [np.load(path) for path in Path("study/states").glob("compare_2016-*.npy")]
    clips = read_speakers(StudySettings(["a"], ["0001", "0011"], ["angry", "happy"], [2]), esd_folder)
    extractor = smile.Smile(smile.FeatureSet.ComParE_2016, smile.FeatureLevel.Functionals)
    expected = extractor.process_signal(load_audio(clips["path"][3]), 16_000).to_numpy()[0]
    np.testing.assert_allclose(features[3], expected, rtol=1e-6)
    assert features.shape == (54, 6373) and rows.loc["compare_2016", "epochs"].max() <= 5
    _, again = run("again", *options)
    pd.testing.assert_frame_equal(again[RESULT], rows[RESULT])


def test_an_unknown_baseline():
    with pytest.raises(ConfigError, match="baseline 'egemaps' is unknown: use one of compare_2016"):
        few_shot.main([*STUDY, *HEAD, "--baselines", "egemaps", "--dry_run"])
