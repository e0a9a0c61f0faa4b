"""A whole trial against a loop that is written out here, with its own optimiser, schedule and scores."""

import copy
import dataclasses
import gc
import math
import weakref
import zlib

import numpy as np
import pytest
import torch
from little_corpora import write_clip
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

from paravox.inference.adapted_heads import adapt_head
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.study import trials
from paravox.study.checkpoints import TRIAL_TASK, model_around
from paravox.study.clips import StudyClips
from paravox.study.device_clips import DeviceClips
from paravox.study.draws import TrialClips
from paravox.study.grid import StudySettings, Trial
from paravox.study.trials import run_adapt_trials, run_head_trials, run_trained_trial, standardise, trial_model

TRIAL = Trial("none", "0001", "angry", 6, 0)
ROWS = np.random.default_rng(3).permutation(30)
TRAIN, EVALUATION, TEST = ROWS[:6], ROWS[6:15], ROWS[15:30]
SETTINGS = StudySettings(
    ["emodb"],
    ["0001"],
    ["angry"],
    [6],
    max_epochs=20,
    patience=5,
    learning_rate=0.003,
    batch_size=4,
    warmup=0.3,
    weight_decay=0.1,
    seed=3,
)


def macro_f1(labels, predictions):
    return f1_score(labels, predictions, labels=[False, True], average="macro", zero_division=0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory, saved_encoders):
    """Thirty recordings of several lengths."""
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / f"{number}.wav" for number in range(30)]
    for number, path in enumerate(paths):
        write_clip(path, number, seconds=0.2 + 0.01 * (number % 7))
    extractor = Burst2VecFeatureExtractor.from_encoder(str(saved_encoders["whisper"]))
    return StudyClips([str(path) for path in paths], extractor)


@pytest.fixture(scope="module")
def checkpoint(saved_encoders):
    model = model_around(str(saved_encoders["whisper"]), [TRIAL_TASK], projection_size=8).eval()
    # Drawn here, because the versions of Transformers draw different first weights, with which the epochs of a trial
    # predict something else.
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad and weight.ndim > 1:
                weight.normal_(0, 0.05, generator=generator)
    return model


def parts(evaluation_labels, test_labels):
    """The clips of the trial, half of the training clips positive."""
    return TrialClips(TRAIN, np.arange(6) < 3, EVALUATION, np.array(evaluation_labels), TEST, np.array(test_labels))


def logits_by_hand(model, clips, row):
    """One clip alone, through encoder, mean over time, projector and head."""
    inputs = clips.extractor([clips.paths[row]], return_tensors="pt")
    hidden = model.encoder.last_state(inputs["input_features"], inputs["attention_mask"])[0]
    return model.heads["emotion"](model.projector(hidden.mean(dim=0)))


def adamw_by_hand(weights, gradients, moments, step, rate, decay):
    """Loshchilov and Hutter 2019, algorithm 2, with the defaults of the paper for beta and epsilon."""
    for weight, gradient, (first, second) in zip(weights, gradients, moments, strict=True):
        first.mul_(0.9).add_(0.1 * gradient)
        second.mul_(0.999).add_(0.001 * gradient**2)
        direction = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        weight.sub_(rate * decay * weight).sub_(rate * direction)


def trial_by_hand(checkpoint, clips, settings, learns=lambda name: True, epochs=10):
    """The trial as section 3.3 and the documents describe it.

    Returns, for each of the first epochs, the predictions on the evaluation and the test part and the weights.
    """
    seed = zlib.crc32(b"3/0001/angry/6/0")
    model = copy.deepcopy(checkpoint)
    torch.manual_seed(seed)
    model.heads["emotion"] = torch.nn.Linear(8, 2)
    model.projector = torch.nn.Linear(32, 8)
    # Whisper's position embeddings are sines that never learn.
    weights = [weight for name, weight in model.named_parameters() if weight.requires_grad and learns(name)]
    moments = [(torch.zeros_like(weight), torch.zeros_like(weight)) for weight in weights]
    total, step = settings.max_epochs * 2, 0
    warmup = int(settings.warmup * total)
    history = []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([seed, epoch]).permutation(6)
        for batch in (order[:3], order[3:]):  # six clips in batches of at most four are two batches of three
            losses = []
            for position in batch:
                logits = logits_by_hand(model, clips, TRAIN[position])
                target = int(position < 3)
                losses.append((torch.logsumexp(logits, 0) - logits[target]) / math.log(2))
            gradients = torch.autograd.grad(sum(losses) / 3, weights)
            rate = step / warmup if step < warmup else (total - step) / (total - warmup)
            step += 1
            with torch.no_grad():
                adamw_by_hand(weights, gradients, moments, step, settings.learning_rate * rate, settings.weight_decay)
        with torch.no_grad():
            evaluation, test = (
                np.array([bool(logits_by_hand(model, clips, row).argmax()) for row in rows])
                for rows in (EVALUATION, TEST)
            )
        history.append((evaluation, test, copy.deepcopy(model.state_dict())))
    return history


@pytest.fixture
def trained(monkeypatch):
    """The models that trials have trained, each with the modes that it was run in."""
    models = []
    make = trials.trial_model

    def keep(*args):
        model = make(*args)
        model.modes = set()
        model.register_forward_pre_hook(lambda module, _: module.modes.add((module.training, torch.is_grad_enabled())))
        models.append(model)
        return model

    monkeypatch.setattr(trials, "trial_model", keep)
    return models


def text(answers):
    return "".join("01"[int(answer)] for answer in answers)


def test_a_whole_trial_by_hand(checkpoint, clips, trained):
    history = trial_by_hand(checkpoint, clips, SETTINGS, epochs=8)
    evaluated, tested, weights = zip(*history, strict=True)
    # Epoch 3 is best, later ones are as good, and on the test part it differs from all of them.
    assert text(evaluated[2]) == text(evaluated[5]) != text(evaluated[3])
    assert text(tested[2]) not in [text(answers) for answers in (*tested[:2], *tested[3:])]
    # Whoever looks at the labels of the test part sees the worst of all epochs.
    chosen = parts(evaluated[2], ~tested[2])
    row = run_trained_trial(checkpoint, DeviceClips(clips), TRIAL, chosen, SETTINGS)
    assert (row["best_epoch"], row["epochs"], row["evaluation_macro_f1"]) == (3, 3 + SETTINGS.patience, 1.0)
    assert row["predictions"] == text(tested[2])
    assert (row["macro_f1"], row["accuracy"], row["positive_f1"]) == (0, 0, 0)
    assert (row["test_clips"], row["test_positives"]) == (len(TEST), sum(~tested[2]))
    for name, value in trained[0].state_dict().items():
        torch.testing.assert_close(value, weights[2][name], atol=1e-4, rtol=0, msg=name)

    # The same trial with other labels in the test part is the same trial with another score.
    labels = np.arange(len(TEST)) % 3 == 0
    other = run_trained_trial(checkpoint, DeviceClips(clips), TRIAL, parts(evaluated[2], labels), SETTINGS)
    assert [other[name] for name in ("best_epoch", "epochs", "predictions")] == [3, 8, row["predictions"]]
    assert other["macro_f1"] == pytest.approx(macro_f1(labels, tested[2]))
    assert other["positive_f1"] == pytest.approx(f1_score(labels, tested[2]))
    assert other["accuracy"] == pytest.approx(accuracy_score(labels, tested[2]))

    # The score of the evaluation part decides, and not a loss: with these labels it is another epoch.
    other = run_trained_trial(checkpoint, DeviceClips(clips), TRIAL, parts(evaluated[3], labels), SETTINGS)
    assert (other["best_epoch"], other["predictions"]) == (4, text(tested[3]))
    assert other["evaluation_macro_f1"] == pytest.approx(macro_f1(evaluated[3], evaluated[3]))


def test_only_the_top_layers_learn_and_the_last_epoch_is_scored(checkpoint, clips, trained):
    settings = dataclasses.replace(SETTINGS, mode="top_layers", top_layers=1, selection="last", max_epochs=3)
    learning = ("encoder.model.layers.1.", "encoder.model.layer_norm.", "projector.", "heads.")
    history = trial_by_hand(checkpoint, clips, settings, lambda name: name.startswith(learning), epochs=3)
    labels = np.arange(len(TEST)) % 2 == 0
    row = run_trained_trial(checkpoint, DeviceClips(clips), TRIAL, parts(EVALUATION > 9, labels), settings)
    assert (row["best_epoch"], row["epochs"]) == (3, 3) and "evaluation_macro_f1" not in row
    assert row["predictions"] == text(history[2][1])
    # Dropout and the like while it learns, and not while it predicts.
    assert trained[0].modes == {(True, True), (False, False)}
    start = checkpoint.state_dict()
    for name, value in trained[0].named_parameters():
        torch.testing.assert_close(value, history[2][2][name], atol=1e-4, rtol=0, msg=name)
        if name.startswith("encoder."):
            assert torch.equal(value, start[name]) != name.startswith(learning), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_trial_leaves_none_of_its_memory_behind(checkpoint, clips, trained, dtype):
    """Without the help of the garbage collector, which may come too late for a GPU."""
    chosen = parts(np.arange(9) % 2 == 0, np.arange(15) % 2 == 0)
    held = DeviceClips(clips, dtype=dtype)
    gc.collect()
    gc.disable()
    try:
        run_trained_trial(checkpoint, held, TRIAL, chosen, dataclasses.replace(SETTINGS, max_epochs=2))
        weights = [weakref.ref(weight) for weight in trained.pop().parameters()]
        assert not any(weight() is not None for weight in weights)
        tensors = [thing for thing in gc.get_objects() if isinstance(thing, torch.optim.AdamW)]
        assert not tensors
    finally:
        gc.enable()


@pytest.mark.parametrize(("name", "tasks"), [("none", ["emotion"]), ("emodb+turev", ["emodb", "turev"])])
def test_a_trial_starts_from_every_weight_of_its_checkpoint(saved_encoders, checkpoint, name, tasks):
    labels = {"kind": "classes", "labels": ["angry", "happy", "sad"]}
    torch.manual_seed(1)
    source = model_around(str(saved_encoders["whisper"]), [{"name": task} | labels for task in tasks], 8)
    before = copy.deepcopy(source.state_dict())
    model = trial_model(source, TRIAL._replace(checkpoint=name), seed=5)
    for weight, value in source.encoder.state_dict().items():
        assert torch.equal(value, model.encoder.state_dict()[weight]), weight
    # Without pre-finetuning, the projector has learned nothing and is drawn anew.
    assert torch.equal(model.projector.weight, source.projector.weight) == (name != "none")
    assert list(model.heads) == ["emotion"] and model.heads["emotion"].out_features == 2
    # The first weights of the head depend on the seed, and not on the checkpoint.
    other = trial_model(checkpoint, TRIAL._replace(checkpoint="turev"), seed=5)
    assert torch.equal(model.heads["emotion"].weight, other.heads["emotion"].weight)
    another = trial_model(checkpoint, TRIAL, seed=6)
    assert not torch.equal(model.heads["emotion"].weight, another.heads["emotion"].weight)
    assert all(torch.equal(value, source.state_dict()[weight]) for weight, value in before.items())


def test_head_trials_are_logistic_regressions():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 12))
    chosen = []
    for number, shots in enumerate((4, 2, 4, 8)):
        rows = generator.permutation(60)
        parts_of = [rows[:shots], rows[shots : shots + 20], rows[shots + 20 : shots + 45]]
        labels = [np.arange(shots) < shots // 2, generator.random(20) < 0.3, generator.random(25) < 0.3]
        clips = TrialClips(*(array for pair in zip(parts_of, labels, strict=True) for array in pair))
        chosen.append((TRIAL._replace(k=shots, repetition=number), clips))
    rows = run_head_trials(features, chosen)
    assert [(row["k"], row["repetition"]) for row in rows] == [(4, 0), (2, 1), (4, 2), (8, 3)]
    for row, (_, clips) in zip(rows, chosen, strict=True):
        head = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000)
        head.fit(features[clips.train], clips.train_labels)
        evaluated, tested = head.predict(features[clips.evaluation]), head.predict(features[clips.test])
        assert row["predictions"] == text(tested) and row["status"] == "finished" and "best_epoch" not in row
        assert row["macro_f1"] == pytest.approx(macro_f1(clips.test_labels, tested))
        assert row["evaluation_macro_f1"] == pytest.approx(macro_f1(clips.evaluation_labels, evaluated))
        assert (row["test_clips"], row["test_positives"]) == (25, clips.test_labels.sum())
    assert run_head_trials(features, []) == []


def test_features_are_standardised_by_the_train_part():
    states = np.random.default_rng(0).normal(3, 2, (20, 4)).astype(np.float32)
    states[:, 3] = 1.5
    features = standardise(states, np.arange(10))
    np.testing.assert_allclose(features[:10, :3].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(features[:10, :3].std(axis=0), 1, atol=1e-12)
    assert (features[:, 3] == 0).all() and features.dtype == np.float64


def test_a_trial_in_mode_adapt_is_what_the_command_fits():
    generator = np.random.default_rng(0)
    moments = generator.normal(size=(30, 3, 2, 8)).astype(np.float32) ** 2
    chosen = parts(np.arange(9) % 3 == 0, np.arange(15) % 3 == 0)
    moments[TRAIN[:3], :, 0] += 1
    moments[TEST[chosen.test_labels], :, 0] += 1
    (row,) = run_adapt_trials(moments, [(TRIAL, chosen)])
    head = adapt_head(moments[TRAIN], np.array([1, 1, 1, 0, 0, 0]), 2)
    predicted = head.logits(moments[TEST]).argmax(axis=1) == 1
    assert row["predictions"] == "".join(map(str, predicted.astype(int)))
    assert row["macro_f1"] == pytest.approx(macro_f1(chosen.test_labels, predicted))
    evaluated = head.logits(moments[EVALUATION]).argmax(axis=1) == 1
    assert row["evaluation_macro_f1"] == pytest.approx(macro_f1(chosen.evaluation_labels, evaluated))
    assert row["message"] == f"layer {head.layer}, C {head.inverse_penalty:g}" and row["status"] == "finished"
    # Nothing of the evaluation and the test part is learned from.
    moments[np.concatenate([EVALUATION, TEST])] *= 7
    assert run_adapt_trials(moments, [(TRIAL, chosen)])[0]["message"] == row["message"]
