"""The command that lists and prints the YAML files."""

import subprocess
import sys

import pytest
from documents import ROOT

from paravox.modeling.errors import ConfigError
from paravox.recipes import configs


def test_the_list_has_every_file_below_the_folder_of_its_program(capsys):
    configs.main([])
    program, found = None, set()
    for line in capsys.readouterr().out.splitlines():
        if not line.startswith(" "):
            program = line.removesuffix(":")
        else:
            found.add((program, line.split()[0]))
            assert len(line.split()) > 4
    assert found == {(path.parents[1].name, path.stem) for path in (ROOT / "recipes").glob("*/configs/*.yaml")}


def test_a_file_is_printed_as_it_is(capsys):
    configs.main(["hl"])
    assert capsys.readouterr().out == (ROOT / "recipes/burst2vec/configs/hl.yaml").read_text()


def test_an_unknown_name():
    with pytest.raises(ConfigError, match="did you mean 'real_bursts'"):
        configs.main(["real_burst"])


def test_it_needs_no_library():
    code = (
        "import sys\nsys.argv = ['paravox', 'configs', 'hl']\nfrom paravox.cli import main\n"
        "try: main()\nfinally: print(*{'torch', 'transformers', 'numpy'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stderr.split() == []
