"""What the documents state: numbers are those of their results files, and links, files, commands and keys exist."""

import dataclasses
import json
import re

import pytest
from documents import NAMES, ROOT, tables_of, words_of
from transformers import TrainingArguments

import paravox.cli
from paravox.corpora.registry import CORPORA
from paravox.modeling.tasks import LOSSES_BY_KIND, Task
from paravox.runs.program_settings import SETTINGS
from paravox.trainers.multi_task_arguments import MultiTaskTrainingArguments


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110


@pytest.mark.parametrize("document", NAMES)
def test_links_lead_somewhere(document):
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.exists(), f"{document} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{document} links to {target}"


@pytest.mark.parametrize("document", [name for name in NAMES if name != "CHANGELOG.md"])
def test_files_and_commands_in_the_text_exist(document):
    text = re.sub(r"^```.*?^```$", "", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    folders = "recipes|paravox|modeling|trainers|tests|docs|benchmarks|model_cards"
    for path in re.findall(rf"`((?:{folders})/[\w./-]+)`", text):
        assert (ROOT / path).exists(), f"{document} names {path}"
    for command in re.findall(r"`paravox (\w+)[^`]*`", text):
        assert command in paravox.cli.COMMANDS, f"{document} names the command {command}"


def assert_rounded(shown: str, value: float, where: str) -> None:
    """The number is the value, rounded to the decimals that are shown; a tie may go either way."""
    decimals = len(shown.partition(".")[2])
    assert abs(float(shown) - value) <= 0.5 * 10**-decimals + 1e-9, f"{where}: {shown} is not {value} rounded"


METRICS = {"emotion CCC": "emotion_ccc", "emotion UAR": "emotion_uar", "origin UAR": "origin_uar"}
METRICS |= {"age MAE": "age_mae", "age MAE in years": "age_mae"}
ROWS = {
    "frozen head": "frozen_head",
    "frozen encoder, heads learn": "frozen_head",
    "Burst2Vec -Adv": "no_adversarial",
    "Burst2Vec without debiasing": "no_adversarial",
    "Burst2Vec": "adversarial",
}


def tables_of_scores(document: str) -> dict[str, list[list[str]]]:
    """The tables whose columns are scores, by their first cell."""
    return {table[0][0]: table for table in tables_of(document) if set(table[0][1:]) <= set(METRICS)}


BURSTS_CODES = {
    "constant prediction": "",
    "ComParE baseline": "Baseline",
    "Burst2Vec": "V1",
    "Burst2Vec -Adv": "V2",
    "auxiliary, without reversal": "V3",
    "Burst2Vec, scope `extractor`": "V4",
    "Burst2Vec + oversampling": "V5",
    "ensemble of V1, V2 and V3": "Ensemble A",
}


@pytest.mark.parametrize(
    ("document", "first_cells"),
    [("README.md", ["Test"]), ("recipes/burst2vec/README.md", ["Val, frozen encoder", "Test, frozen encoder"])],
)
def test_the_scores_on_a_frozen_encoder_are_those_of_their_file(document, first_cells):
    results = json.loads((ROOT / "recipes/burst2vec/results/table_2_bursts.json").read_text())
    by_code = {row["code"]: row for row in results["rows"]}
    for first_cell in first_cells:
        header, *rows = tables_of_scores(document)[first_cell]
        assert len(rows) >= 4
        for name, *cells in rows:
            scores = by_code[BURSTS_CODES[name]][first_cell.split(",")[0].lower()]
            for title, cell in zip(header[1:], cells, strict=True):
                assert_rounded(cell, scores[METRICS[title]]["value"], f"{document}, {first_cell}, {name}, {title}")


def test_the_differences_to_no_debiasing_are_those_of_their_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/table_2_bursts.json").read_text())
    entries = {(entry["code"], entry["score"]): entry for entry in results["comparisons"] if entry["mark"] == "♣"}
    (table,) = [table for table in tables_of("recipes/burst2vec/README.md") if table[0][0] == "minus -Adv, on Val"]
    assert len(table) > 3
    for name, *cells in table[1:]:
        for title, cell in zip(table[0][1:], cells, strict=True):
            entry = entries[BURSTS_CODES[name], METRICS[title]]
            shown = re.fullmatch(r"(\S+) \((\S+) to (\S+)\)", cell).groups()
            for number, value in zip(shown, [entry["difference"], *entry["interval"]], strict=True):
                assert_rounded(number, value, f"{name}, {title}")


def test_the_audit_is_that_of_its_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/audit_bursts.json").read_text())
    arms = {entry["name"]: entry for entry in results["models"]}
    encoder = arms["adversarial"]["leakage"]["encoder"]
    text = words_of("recipes/burst2vec/README.md")
    named = r"accuracy of (\S+) with reversal, and of (\S+) without it"
    for pattern, values in (
        (named, [arms[name]["discriminator"]["mean over tasks"]["value"] for name in ("adversarial", "auxiliary")]),
        (
            r"with a UAR of (\S+) after reversal, where it is (\S+) without debiasing",
            [arms[name]["leakage"]["shared"]["source"]["uar"]["value"] for name in ("adversarial", "no_adversarial")],
        ),
        (
            r"with a CCC of (\S+) after reversal and of (\S+) without debiasing",
            [
                arms[name]["leakage"]["specific[origin]"]["emotion"]["ccc"]["value"]
                for name in ("adversarial", "no_adversarial")
            ],
        ),
        (
            r"an age MAE of (\S+) and an origin UAR of (\S+) \((\S+) to (\S+)\)\.",
            [
                encoder["age"]["mae"]["value"],
                encoder["origin"]["uar"]["value"],
                *encoder["origin"]["uar"]["interval"],
            ],
        ),
    ):
        for shown, value in zip(re.search(pattern, text).groups(), values, strict=True):
            assert_rounded(shown, value, pattern)


def test_the_trials_of_the_heads_are_those_of_their_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/table_2_heads.json").read_text())
    by_name = {row["name"]: row["val"] for row in results["rows"]}
    header, *rows = tables_of_scores("recipes/burst2vec/README.md")["Val, changes to the heads"]
    assert len(rows) == len(by_name) - 1  # without the constant prediction
    for name, *cells in rows:
        for title, cell in zip(header[1:], cells, strict=True):
            assert_rounded(cell, by_name[name][METRICS[title]]["value"], f"{name}, {title}")


def test_the_scores_of_fine_tuned_models_are_those_of_their_file():
    document, first_cells = "recipes/burst2vec/README.md", ("Val", "Test")
    results = json.loads((ROOT / "recipes/burst2vec/results/real_bursts.json").read_text())
    for first_cell in first_cells:
        header, *rows = tables_of_scores(document)[first_cell]
        split = first_cell.lower()
        assert len(rows) == 7
        for name, *cells in rows:
            variant, _, ensemble = name.partition(", ensemble")
            if name == "constant prediction":
                scores = results["constant"][split]
            else:
                values = results["ensembles" if ensemble else "means"][ROWS[name if name in ROWS else variant]][split]
                scores = {metric: entry["value"] for metric, entry in values.items()}
            for title, cell in zip(header[1:], cells, strict=True):
                assert_rounded(cell, scores[METRICS[title]], f"{document}, {first_cell}, {name}, {title}")


def test_intervals_in_the_text_are_those_of_their_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/real_bursts.json").read_text())
    differences = results["differences_to_frozen_head"]
    sentences = {
        r"emotion CCC rises by (\S+) against the frozen head \(95 % interval over speakers (\S+) to (\S+)\)": (
            differences["adversarial"]["test"]["emotion_ccc"]
        ),
        r"emotion UAR by (\S+) \((\S+) to (\S+)\)\. Without": differences["adversarial"]["test"]["emotion_uar"],
        r"Without debiasing they rise by (\S+) \((\S+) to (\S+)\)": (
            differences["no_adversarial"]["test"]["emotion_ccc"]
        ),
        r"they rise by \S+ \(\S+ to \S+\) and (\S+) \((\S+) to (\S+)\)": (
            differences["no_adversarial"]["test"]["emotion_uar"]
        ),
    }
    text = words_of("recipes/burst2vec/README.md")
    for pattern, entry in sentences.items():
        for shown, value in zip(re.search(pattern, text).groups(), [entry["value"], *entry["interval"]], strict=True):
            assert_rounded(shown, value, pattern)
    fall, low, high = re.search(r"origin falls by (\S+) with debiasing \(interval (\S+) to (\S+)\)", text).groups()
    origin = differences["adversarial"]["val"]["origin_uar"]
    for shown, value in zip((fall, high, low), [origin["value"], *origin["interval"]], strict=True):
        assert_rounded(shown, -value, "origin on Val")
    for split_differences in differences.values():
        for metric in ("age_mae", "origin_uar"):
            low, high = split_differences["test"][metric]["interval"]
            assert low < 0 < high, "the text says that age and origin on Test lie within their intervals"


def test_the_bias_study_is_that_of_its_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/bias_study.json").read_text())
    differences = results["differences_to_no_adversarial"]
    entries = {entry["variant"]: entry for entry in differences if entry["bias"] == 0.9}
    measures = {"leak of country into age": "age_country_leak", "country UAR": "country_uar", **METRICS}
    (table,) = [table for table in tables_of("recipes/burst2vec/README.md") if "at bias 0.9" in table[0][0]]
    assert len(table) == 5
    for name, *cells in table[1:]:
        for variant, cell in zip(("adversarial_encoder", "adversarial_extractor", "auxiliary"), cells, strict=True):
            mean, error = cell.split(" ± ")
            assert_rounded(mean, entries[variant][measures[name]]["mean"], f"{name}, {variant}")
            assert_rounded(error, entries[variant][measures[name]]["standard_error"], f"{name}, {variant}")
    text = words_of("recipes/burst2vec/README.md")
    assert all(entry["age_country_leak"]["mean"] > 0 for entry in differences)

    def scores(entries):
        """How much worse each score is, and whether the interval of the difference includes 0."""
        for entry in entries:
            for metric in ("emotion_ccc", "age_mae", "country_uar"):
                low, high = entry[metric]["interval"]
                yield metric, entry[metric]["mean"] * (1 if metric == "age_mae" else -1), low <= 0 <= high

    worse, to_auxiliary = list(scores(differences)), list(scores(results["differences_to_auxiliary"]))
    assert all(loss > 0 for _, loss, _ in worse)
    clear = sum(not includes_0 for *_, includes_0 in worse)
    assert f"of all {len(worse)} differences in scores, the 95 % intervals of {clear} do not include 0" in text
    clear = [(metric, loss) for metric, loss, includes_0 in to_auxiliary if not includes_0]
    start = f"Of the {len(to_auxiliary)} differences between reversal and auxiliary"
    assert f"{start}, {len(clear)} intervals do not include 0" in text
    assert all(metric != "emotion_ccc" and loss > 0 for metric, loss in clear)
    patterns = (
        ("differences_to_no_adversarial", r"95 % interval of the difference (\S+) to (\S+)\) and higher"),
        ("differences_to_auxiliary", r"in the auxiliary runs \((\S+) to (\S+)\)"),
    )
    for key, pattern in patterns:
        (entry,) = [e for e in results[key] if (e["bias"], e["variant"]) == (0.9, "adversarial_extractor")]
        for shown, value in zip(re.search(pattern, text).groups(), entry["age_country_leak"]["interval"], strict=True):
            assert_rounded(shown, value, pattern)


def test_leakage_and_discriminators_of_the_bias_study_are_those_of_their_file():
    results = json.loads((ROOT / "recipes/burst2vec/results/bias_study.json").read_text())
    text = words_of("recipes/burst2vec/README.md")
    probes = re.search(
        r"with a UAR of (\S+) \(scope `encoder`\) and (\S+) \(scope `extractor`\), where it is (\S+) without", text
    ).groups()
    for variant, shown in zip(("adversarial_encoder", "adversarial_extractor", "no_adversarial"), probes, strict=True):
        value = results["leakage"]["means"][variant]["specific[age]"]["country"]["uar"]["mean"]
        assert_rounded(shown, value, f"specific[age], {variant}")
    means = {(entry["corpus"], entry["variant"]): entry["mean"] for entry in results["discriminator_last_quarter"]}
    chance, encoder, extractor, auxiliary = re.search(
        r"stays at chance \(accuracy (\S+)\).* was (\S+) \(scope `encoder`\) and (\S+) \(scope `extractor`\), "
        r"and (\S+) in the auxiliary run",
        text,
    ).groups()
    of_variants = {"adversarial_encoder": encoder, "adversarial_extractor": extractor, "auxiliary": auxiliary}
    for variant, shown in of_variants.items():
        assert_rounded(shown, means["bursts", variant], f"discriminator, {variant}")
        assert abs(float(chance) - means["synthetic", variant]) < 0.0015, variant


def test_ratios_of_speed_are_those_of_their_file():
    rows = json.loads((ROOT / "benchmarks/results.json").read_text())["rows"]
    storing = rows["frozen_layers"]["storing"] / rows["frozen_layers"]["ours"]
    assert round(3 * storing) == 2, "the text says two thirds"
    for document, pattern, row in (
        ("README.md", r"training step takes (\S+) times as long", "a"),
        ("README.md", r"from the audio cache takes (\S+) times as long", "reading"),
        ("docs/training.md", r"it needed (\S+) times the seconds of one-task batches", "all_tasks"),
        ("docs/training.md", r"from a filled audio cache took (\S+) of the time", "reading"),
        ("docs/training.md", r"on stored states took (\S+) of the time", "frozen_layers"),
        ("docs/hub.md", r"predicted (\S+) times as many clips per second as PyTorch clip by clip", "onnx_alone"),
        ("docs/hub.md", r"and (\S+) times as many in padded batches", "onnx_batches"),
    ):
        assert_rounded(re.search(pattern, words_of(document))[1], rows[row]["ratio"], f"{document}, {row}")


def test_the_figures_of_a_gpu_are_those_of_their_file():
    rows = json.loads((ROOT / "benchmarks" / "results_gpu.json").read_text())["rows"]
    text = " ".join((ROOT / "docs" / "scaling.md").read_text().split())
    prediction, run = rows["prediction"], rows["training_run"]
    steps = [rows["training_step"]["steps"][f"{encoder}_float32"]["ratio"] for encoder in ("HB", "WL", "HL")]
    found = rows["agreement"]
    stated = {
        r"results file: ([\d,]+) clips per second": [prediction["ours"]],
        r"8 workers, reaches (\d+)": [prediction["alternative"]],
        r"clips: ([\d.]+) times .*? base, ([\d.]+) for .*? and ([\d.]+) for": steps,
        r"not compiled: (\d+) clips per second.*?reaches (\d+)": [run["ours"]["eager"], run["alternative"]],
        r"float32 to ([\d.]+) for intensities and ([\d.]+) years, in bfloat16 to ([\d.]+) and ([\d.]+) years": [
            found[f"predictions_{dtype}"][task] for dtype in ("float32", "bfloat16") for task in ("emotion", "age")
        ],
    }
    for pattern, values in stated.items():
        for shown, value in zip(re.search(pattern, text).groups(), values, strict=True):
            assert_rounded(shown.replace(",", ""), value, pattern)


def test_the_environments_are_those_of_their_file():
    results = json.loads((ROOT / "benchmarks/environments.json").read_text())
    tables = {table[0][0]: table for table in tables_of("docs/environments.md")}
    header, *rows = tables["model"]
    versions = header[1:]
    assert versions == list(results["transformers"]) and len(versions) >= 6
    for name, *cells in rows:
        for version, cell in zip(versions, cells, strict=True):
            assert float(cell) == pytest.approx(results["transformers"][version][name]["largest_difference"], rel=0.5)
    assert {row[0] for row in rows} == set(results["transformers"][versions[0]])
    floors = results["floors"]
    ((*counts, shown),) = tables["Python"][1:]
    assert counts == [str(floors[name]) for name in ("Python", "passed", "failed", "skipped")]
    assert shown == ", ".join(f"{name} {version}" for name, version in floors["versions"].items())


def test_the_new_environments_are_those_of_their_file():
    results = json.loads((ROOT / "benchmarks/environments.json").read_text()).get("fresh", {})
    found = [table for table in tables_of("docs/environments.md") if table[0][0] == "environment"]
    rows = found[0][1:] if found else []
    assert [row[0] for row in rows] == list(results)
    for name, *versions, difference, installing, demo in rows:
        result = results[name]
        assert versions == [result["Python"], result["torch"], result["Transformers"]]
        assert float(difference) == pytest.approx(result["largest_difference"], rel=0.5)
        assert float(difference) <= 1e-5, f"{name} predicts something else"
        assert (installing, demo) == (f"{result['installing']} s", f"{result['demo']} s" if "demo" in result else "")


def test_the_seconds_of_starting_are_those_of_their_file():
    rows = json.loads((ROOT / "benchmarks/results.json").read_text())["rows"]
    measured = {name: row for name, row in rows.items() if name.startswith("start_")}
    found = [table for table in tables_of("docs/environments.md") if table[0][0] == "processor seconds"]
    titles = {
        "`paravox --help`": "start_help",
        "`paravox score --help`": "start_program_help",
        "`paravox train --help`": "start_train_help",
        "`import paravox` and the Auto classes": "start_import",
        "`paravox predict` of one clip": "start_predict",
    }
    shown = found[0][1:] if found else []
    assert {titles[row[0]] for row in shown} == set(measured)
    for title, before, now, beside, alone, ratio in shown:
        row = measured[titles[title]]
        assert [before, now, alone, ratio] == [
            str(row.get(name, "")) for name in ("before", "ours", "alternative", "ratio")
        ]
        assert beside == row["beside"]


def test_the_list_of_keys_is_complete():
    fields = {}
    for settings in SETTINGS["burst2vec.train"]:
        inherited = TrainingArguments.__dataclass_fields__ if issubclass(settings, TrainingArguments) else {}
        fields |= {field.name: field for field in dataclasses.fields(settings) if field.name not in inherited}
    # Three arguments of the Trainer with another default, which nobody has to change.
    tables = [table for table in tables_of("docs/training.md") if table[0][1:] == ["type", "default", "meaning"]]
    listed = {row[0].strip("`"): row[2] for table in tables for row in table[1:]}
    assert sorted(listed) == sorted(fields)
    for name, shown in listed.items():
        default = fields[name].default
        if default is dataclasses.MISSING:
            optional = fields[name].default_factory is not dataclasses.MISSING
            expected = "" if optional else "required"
        else:
            expected = "" if default is None else str(default).lower() if default in (True, False) else str(default)
        assert shown == expected or float(shown) == float(expected), f"{name}: {shown}, expected {expected}"


def test_the_tables_of_tasks_and_corpora_are_complete():
    tables = {table[0][0]: table[1:] for table in tables_of("docs/training.md")}
    losses = {row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[3])) for row in tables["kind"]}
    assert losses == LOSSES_BY_KIND
    assert [row[0].strip("`") for row in tables["field of a task"]] == [
        field.name for field in dataclasses.fields(Task)
    ]
    corpora = [name for row in tables["`corpus`"] for name in re.findall(r"`(\w+)`", row[0])]
    assert sorted(corpora) == sorted(CORPORA)
    batching = [re.findall(r"`(\w+)`", row[0])[0] for row in tables["`task_batching`"]]
    (choices,) = [
        field.metadata["choices"]
        for field in dataclasses.fields(MultiTaskTrainingArguments)
        if field.name == "task_batching"
    ]
    assert sorted(batching) == sorted(choices)
