"""The YAML files that come with paravox are found by name, and a path is always taken before a name."""

from pathlib import Path

import pytest
import yaml
from documents import ROOT

from paravox.modeling.errors import ConfigError
from paravox.runs.packaged_settings import find_settings, packaged_settings, purpose_of

FILES = sorted((ROOT / "recipes").glob("*/configs/*.yaml"))


def test_every_yaml_file_of_a_program_has_a_name_of_its_own():
    found = packaged_settings()
    assert sorted(path.resolve() for path in found.values()) == FILES and len(FILES) >= 20
    assert all(path.stem == name for name, path in found.items())


@pytest.mark.parametrize("name", ["real_bursts", "real_bursts.yaml", Path("real_bursts")])
def test_a_name_means_the_file_that_comes_with_paravox(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_settings(name).samefile(ROOT / "recipes/burst2vec/configs/real_bursts.yaml")


def test_a_file_in_this_folder_comes_before_the_packaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real_bursts.yaml").write_text("seed: 1\n")
    assert find_settings("real_bursts.yaml") == Path("real_bursts.yaml")


@pytest.mark.parametrize("path", ["folder/real_bursts", "real_bursts.json", "reel_bursts"])
def test_what_is_no_file_is_named_with_the_nearest(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"settings file {path} does not exist: did you mean 'real_bursts'"):
        find_settings(path)


def test_what_is_near_to_no_name(tmp_path):
    with pytest.raises(ConfigError, match="give a path or a name. paravox configs lists"):
        find_settings(tmp_path / "xyz.yaml")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_says_what_it_is_for_in_one_sentence(path):
    purpose = purpose_of(path)
    assert 20 < len(purpose) < 210 and purpose[0].isupper() and purpose.endswith(".") and purpose.count(". ") == 0
    assert purpose.split()[:3] == path.read_text().replace("#", " ").split()[:3]
    assert isinstance(yaml.safe_load(path.read_text()), dict)
