"""Every YAML of the recipes is run somewhere in these tests."""

from test_few_shot import FEW_SHOT_CONFIGS
from test_prefinetune import PRE_FINETUNING_CONFIGS
from test_table_2_program import SUITES
from test_train import LAUNCH_CONFIGS, RECIPES, TRAINING_CONFIGS
from test_train_compare import BASELINE_CONFIGS


def test_how_many_yaml_files_were_run(capsys):
    found = sorted(RECIPES.rglob("*.yaml"))
    run = [*TRAINING_CONFIGS, *LAUNCH_CONFIGS, *PRE_FINETUNING_CONFIGS, *FEW_SHOT_CONFIGS, *SUITES, *BASELINE_CONFIGS]
    with capsys.disabled():
        print(f"\n{len(run)} of {len(found)} YAML files of recipes/ are dry-run")
    assert sorted(run) == found and len(run) >= 17
