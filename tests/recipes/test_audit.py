"""The audit program on tiny models and recordings: its numbers from the models alone, and the files that it writes."""

import csv
import json

import numpy as np
import pytest
import torch
from little_corpora import write_clip
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import StandardScaler

from paravox.evaluation import probes
from paravox.modeling.errors import CheckpointError, ConfigError
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.recipes.burst2vec import audit

# Fewer than by default, because each fit takes its time.
FOLDS, ALPHAS = 3, (1e3, 10)
COUNTRIES = ("China", "South Africa", "USA", "Venezuela")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with metadata.csv: 36 Train and 24 Val clips, three of each speaker, from two sources."""
    folder, generator, rows = tmp_path_factory.mktemp("audit") / "corpus", np.random.default_rng(0), []
    for number in range(60):
        write_clip(folder / f"audio/{number}.wav", number, seconds=0.2 + 0.01 * (7 * number % 20))
        labels = [*np.round(generator.random(3), 3), 20 + number * 7 % 19, COUNTRIES[number % 4]]
        split = "train" if number < 36 else "validation"
        rows.append([f"audio/{number}.wav", f"s{number // 3}", split, "xy"[number % 2], *labels])
    with open(folder / "metadata.csv", "w", newline="") as file:
        header = ["file_name", "speaker", "split", "source", "amusement", "awe", "fear", "age", "country"]
        csv.writer(file).writerows([header, *rows])
    return folder


@pytest.fixture
def models(saved_members, tmp_path, make_model):
    """Folders of two models with a discriminator and one without."""
    plain = tmp_path / "plain" / "model"
    make_model(seed=5, adversarial=False).save_pretrained(plain)
    Burst2VecFeatureExtractor.from_pretrained(saved_members[0]).save_pretrained(plain)
    return [*saved_members[:2], str(plain)]


@pytest.fixture(autouse=True)
def few_fits(monkeypatch):
    for name, value in (("FOLDS", FOLDS), ("ALPHAS", ALPHAS), ("CS", (1e-2, 1))):
        monkeypatch.setattr(probes, name, value)


def outputs_alone(folder, paths):
    """The outputs for one clip at a time, by the model alone."""
    model = Burst2VecForMultiTask.from_pretrained(folder).eval()
    extractor = Burst2VecFeatureExtractor.from_pretrained(folder)
    with torch.no_grad():
        return model, [model(**extractor([str(path)], return_tensors="pt")) for path in paths]


@pytest.mark.slow
def test_the_numbers_are_those_of_the_models_alone(models, corpus, tmp_path, capsys):
    output = tmp_path / "out" / "audit.json"
    given = [f"adversarial={models[0]}", f"adversarial={models[1]}", models[2]]
    found = audit.main([*given, "--data_dir", str(corpus), "--group", "source", "--output", str(output)])
    assert json.loads(output.read_text()) == found
    assert [entry["name"] for entry in found["models"]] == ["adversarial", "adversarial", "plain"]
    assert found["clips"] == {"train": 36, "scored": 24} and found["speakers"] == {"train": 12, "scored": 8}
    assert [target["name"] for target in found["targets"]] == ["emotion", "age", "country", "source"]
    table = list(csv.DictReader((corpus / "metadata.csv").open()))
    ages = np.array([float(row["age"]) for row in table])
    speakers = np.array([row["speaker"] for row in table])
    hits = []
    for folder, entry in zip(models, found["models"], strict=True):
        model, outputs = outputs_alone(folder, [corpus / row["file_name"] for row in table])
        # A probe of age on the specific representation of the country, with the better of two strengths.
        features = np.concatenate([output.representations["specific"]["country"].numpy() for output in outputs])
        scale = StandardScaler().fit(features[:36].astype(float))
        train, val = scale.transform(features[:36].astype(float)), scale.transform(features[36:].astype(float))
        errors = []
        for alpha in ALPHAS:
            folds = GroupKFold(FOLDS).split(train, ages[:36], speakers[:36])
            errors.append(np.mean([fold_error(alpha, features[:36], ages[:36], *rows) for rows in folds]))
        ridge = Ridge(ALPHAS[int(np.argmin(errors))]).fit(train, ages[:36])
        expected = np.abs(ridge.predict(val).clip(20, 39) - ages[36:]).mean()
        assert entry["leakage"]["specific[country]"]["age"]["mae"]["value"] == pytest.approx(expected, abs=2e-3)
        # The model's own error in age by the true country, over the clips of Val.
        usa = [row for row in range(36, 60) if table[row]["country"] == "USA"]
        errors = [float(outputs[row].predictions["age"]) - ages[row] for row in usa]
        assert entry["errors"]["age"]["country"]["USA"]["mean_error"]["value"] == pytest.approx(
            np.mean(errors), abs=2e-3
        )
        if entry["adversarial"]:
            named = [int(model.discriminator(output.representations["shared"]).argmax()) for output in outputs[36:]]
            hits.append([np.mean([name == position for name in named]) for position in range(3)])
            for position, task in enumerate(("emotion", "age", "country")):
                assert entry["discriminator"][task]["value"] == pytest.approx(hits[-1][position], abs=1e-4)
        else:
            assert "discriminator" not in entry
    mean = found["means"]["adversarial"]
    assert mean["models"] == 2
    assert mean["discriminator"]["age"]["value"] == pytest.approx((hits[0][1] + hits[1][1]) / 2, abs=1e-4)
    values = [place["leakage"]["shared"]["source"]["uar"]["value"] for place in (*found["models"], mean)]
    assert values[3] == pytest.approx((values[0] + values[1]) / 2, abs=1e-4)
    change = found["differences"]["plain"]["leakage"]["shared"]["source"]["uar"]["value"]
    assert found["differences_to"] == "adversarial" and change == pytest.approx(values[2] - values[3], abs=2e-4)

    printed = capsys.readouterr().out
    assert "adversarial: specific[age]" in printed and "plain: joint[country]" in printed
    assert all(output.with_suffix(suffix).stat().st_size > 10_000 for suffix in (".png", ".svg"))
    tables = output.with_suffix(".md").read_text()
    assert "### adversarial, mean of 2 models\n\n| representation | emotion CCC | age R² | age MAE (years) |" in tables
    assert f"| shared | {cell(mean['leakage']['shared']['emotion']['ccc'])} |" in tables
    assert f"| chance | 0.000 | {found['chance']['age']['r2']:.3f} | {found['chance']['age']['mae']:.3f} |" in tables
    usa = next(group for group in found["error_groups"] if group["task"] == "age" and group["label"] == "USA")
    assert f"| USA | {usa['clips']} | {usa['speakers']} | " in tables
    assert str(tmp_path) not in output.read_text()


def fold_error(alpha, features, ages, fitted, scored):
    scale = StandardScaler().fit(features[fitted].astype(float))
    ridge = Ridge(alpha).fit(scale.transform(features[fitted].astype(float)), ages[fitted])
    return ((ridge.predict(scale.transform(features[scored].astype(float))) - ages[scored]) ** 2).mean()


def cell(result):
    return f"{result['value']:.3f} [{result['interval'][0]:.3f}, {result['interval'][1]:.3f}]"


def test_names_of_models():
    assert audit.split_name("auxiliary=runs/b_1/model") == ("auxiliary", "runs/b_1/model")
    assert audit.split_name("runs/mine/model") == ("mine", "runs/mine/model")
    assert audit.split_name("someone/burst2vec") == ("burst2vec", "someone/burst2vec")
    assert audit.split_name("model") == ("model", "model")


def test_what_cannot_be_audited(models, corpus, tmp_path, make_model):
    rest = ["--data_dir", str(corpus), "--output", str(tmp_path / "x.json")]
    with pytest.raises(ConfigError, match="device 'nowhere' cannot be used here"):
        audit.main([models[0], *rest, "--device", "nowhere"])
    with pytest.raises(CheckpointError, match="nothing_here"):
        audit.main(["name=nothing_here/model", *rest])
