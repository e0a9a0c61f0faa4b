"""The suite of Table 2: what a file may say, and what it is told if it says something else."""

from pathlib import Path

import pytest
from planted_table import SUITE, read_suite, write_suite

from paravox.evaluation.table_2_suite import SuiteRow, file_name, row_facts
from paravox.modeling.errors import ConfigError


def test_a_suite_is_read(tmp_path):
    suite = read_suite(write_suite(tmp_path))
    assert suite.title == SUITE["title"] and suite.seeds == (1, 2)
    assert [row.code for row in suite.rows] == ["V1", "V 2", "V3"]
    assert suite.rows[1] == SuiteRow("V 2", "worse at age", tmp_path / "first.yaml", {"adversarial": False})
    assert suite.ensembles[0].members == ("V1", "V 2") and suite.ensembles[0].name == "V1, V 2"
    assert suite.compared_with == {"♣": "V1", "♦": "V3"}


@pytest.mark.parametrize(
    ("members", "name"),
    [
        ("V1 V2 V3 V6", "V1 – V3, V6"),
        ("V1 V2 V3 V5 V6", "V1 – V3, V5, V6"),
        ("V6 V5 V4 V3 V2 V1", "V1 – V6"),
        ("V2 V5", "V2, V5"),
    ],
)
def test_members_are_named_as_in_the_paper(tmp_path, members, name):
    rows = [{"code": f"V{number}", "name": "any", "settings": "first.yaml"} for number in range(1, 8)]
    changes = {"rows": rows, "ensembles": [{"code": "A", "members": members.split()}], "compared_with": {}}
    assert read_suite(write_suite(tmp_path, **changes)).ensembles[0].name == name


ROW = SUITE["rows"][0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sedes": [1]}, "suite.yaml: unknown key 'sedes': did you mean 'seeds'"),
        ({"rows": [ROW | {"setings": "x"}]}, "suite.yaml, V1: unknown key 'setings': did you mean 'settings'"),
        ({"rows": [ROW | {"program": "train_compar"}]}, "V1: program 'train_compar' is unknown: .*'train_compare'"),
        ({"rows": [ROW | {"settings": "other.yaml"}]}, "V1: settings file .*other.yaml does not exist"),
        ({"rows": [ROW | {"raw": "yes"}]}, "V1: raw is 'yes', expected true or false"),
        ({"rows": [ROW | {"options": ["bf16"]}]}, "V1: options is .*, expected a mapping"),
        ({"rows": [{"code": "V1", "name": "x"}]}, "V1: key 'settings' is missing"),
        ({"rows": ["V1"]}, "found 'V1', expected a mapping"),
        ({"rows": []}, "key 'rows' is missing"),
        ({"title": ""}, "key 'title' is missing"),
        ({"seeds": [1, "2"]}, "seeds is .*: give at least one whole number"),
        ({"seeds": []}, "seeds is .*: give at least one whole number"),
        ({"seeds": 3}, "seeds is 3, expected a list"),
        ({"rows": [*SUITE["rows"], ROW | {"code": "V_2"}]}, "the code 'V 2' is given twice"),
        ({"ensembles": [{"code": "V1", "members": ["V1", "V3"]}]}, "the code 'V1' is given twice"),
        ({"ensembles": [{"code": "A", "members": ["V1", "V2"]}]}, "suite.yaml, A: member 'V2' is no row: did you mean"),
        ({"ensembles": [{"code": "A", "members": ["V1", "V1"]}]}, "A: members are .*: give at least two"),
        ({"ensembles": [{"code": "A", "members": ["V1"]}]}, "A: members are .*: give at least two"),
        ({"ensembles": [{"code": "A", "member": ["V1"]}]}, "A: unknown key 'member': did you mean 'members'"),
        ({"compared_with": {"♣": "V4"}}, "♣ compares with 'V4', which is no row: use one of V1, V 2, V3, Ensemble A"),
    ],
)
def test_a_suite_that_is_wrong(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        read_suite(write_suite(tmp_path, **changes))


def test_some_of_the_rows_keep_what_needs_no_other(tmp_path):
    suite = read_suite(write_suite(tmp_path))
    fewer = suite.only(["V3", "V1"])
    assert [row.code for row in fewer.rows] == ["V1", "V3"]
    assert fewer.ensembles == () and fewer.compared_with == {"♣": "V1", "♦": "V3"}
    fewer = suite.only(["V1", "V 2"])
    assert [ensemble.code for ensemble in fewer.ensembles] == ["Ensemble A"] and fewer.compared_with == {"♣": "V1"}
    with pytest.raises(ConfigError, match="the suite has no row 'V2': did you mean 'V 2'"):
        suite.only(["V2"])


def test_codes_become_parts_of_file_names():
    assert [file_name(code) for code in ("Ensemble A", "V1", "a/b", "+x")] == ["Ensemble_A", "V1", "a_b", "+x"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"encoder": "none", "audio": None, "raw": False, "adversarial": "yes", "oversampling": False}),
        ({"encoder": "/models/whisper-base"}, {"encoder": "whisper-base"}),
        ({"encoder": "facebook/hubert-large"}, {"encoder": "hubert-large"}),
        ({"encoder": "openai/whisper-base", "num_train_epochs": 0}, {"encoder": "whisper-base, frozen"}),
        ({"encoder_config": {"model_type": "whisper"}}, {"encoder": "whisper"}),
        ({"corpus": "exvo"}, {"audio": "provided", "raw": False}),
        ({"corpus": "exvo", "audio": "raw"}, {"audio": "raw", "raw": True}),
        ({"audio": "raw"}, {"audio": None, "raw": False}),
        ({"oversample": True}, {"oversampling": True}),
        ({"adversarial": False, "gradient_reversal": False}, {"adversarial": "no"}),
        ({"gradient_reversal": False}, {"adversarial": "without reversal"}),
        ({"adversarial_scope": "extractor"}, {"adversarial": "yes, extractor only"}),
    ],
)
def test_what_a_row_is(settings, expected):
    found = row_facts(SuiteRow("V1", "any", Path("any.yaml")), settings)
    assert {name: found[name] for name in expected} == expected
    assert row_facts(SuiteRow("V1", "any", Path("any.yaml"), raw=True), settings)["raw"]


def test_the_baseline_has_no_encoder():
    found = row_facts(SuiteRow("B", "any", Path("any.yaml"), program="train_compare"), {"corpus": "exvo"})
    assert found["encoder"] == "ComParE functionals" and found["adversarial"] == "no"
