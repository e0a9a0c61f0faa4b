"""The house: programs on top, a library below, arrows one way, the import name is the path, and nothing is dead."""

import ast
import re
import sys
from pathlib import Path

import pytest

import paravox
from paravox.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
# The four folders of the top level that install under another name than their path.
FOLDERS = {"modeling": "paravox.modeling", "trainers": "paravox.trainers", "recipes": "paravox.recipes"}
FOLDERS |= {"model_cards": "paravox.model_cards", "paravox": "paravox"}
# Which rooms a room may import. Within a room anything goes but circles.
ROOMS = {
    "modeling": set(),
    "trainers": {"modeling"},
    "corpora": {"modeling", "trainers"},
    "inference": {"modeling", "trainers"},
    "evaluation": {"modeling", "trainers", "corpora", "inference"},
    "study": {"modeling", "trainers", "corpora", "inference", "evaluation"},
    "runs": {"modeling", "trainers", "corpora", "inference", "evaluation", "study", "model_cards"},
    "recipes": {"modeling", "trainers", "corpora", "inference", "evaluation", "study", "runs"},
    "model_cards": set(),
}
# Modules directly in paravox/: the command starts programs, and the registration names the classes that it registers.
TOP = {"paravox.__main__", "paravox.cli", "paravox.registration", "paravox"}
LEFT_OUT_OF_REACH = {
    "paravox.model_cards": "holds templates, which runs/model_card.py finds by its folder",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    name = ".".join([FOLDERS[parts[0]], *parts[1:]])
    return name.removesuffix(".__init__")


MODULES = {module_name(path): path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))}
# The metrics are loaded by `evaluate` from their files, so they import nothing of ours.
SOURCES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def imports_of(name: str) -> set[str]:
    """The modules of ours that a module imports, whether at its top or inside a function."""
    found = set()
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(SOURCES[name]):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            targets = [f"{base}.{alias.name}" for alias in node.names] + [base]
        else:
            continue
        found |= {target for target in targets if target in MODULES}
    return found - {name}


IMPORTS = {name: imports_of(name) for name in MODULES}


def room_of(name: str) -> str | None:
    return None if name in TOP else name.split(".")[1]


def test_every_module_lies_in_a_known_room():
    assert {room_of(name) for name in MODULES} - {None} == set(ROOMS) and len(MODULES) > 100


@pytest.mark.parametrize("name", sorted(set(MODULES) - TOP))
def test_arrows_run_one_way(name):
    room = room_of(name)
    for target in IMPORTS[name] - {"paravox"}:
        if room_of(target) == room:
            continue
        assert target not in TOP, f"{name} imports {target}, which stands above it"
        assert room_of(target) in ROOMS[room], f"{name} imports {target}: {room} is below {room_of(target)}"


def test_there_are_no_circles():
    finished, path = set(), []

    def visit(name: str) -> None:
        assert name not in path, f"a circle of imports: {' -> '.join([*path[path.index(name) :], name])}"
        if name in finished:
            return
        path.append(name)
        # A package's __init__ imports nothing of its modules, or imports them when they are asked for.
        for target in IMPORTS[name] - {"paravox"}:
            visit(target)
        path.pop()
        finished.add(name)

    for name in MODULES:
        if name not in TOP:
            visit(name)


PROGRAMS = sorted(name for name, path in MODULES.items() if path.is_relative_to(ROOT / "recipes"))
PROGRAMS = [name for name in PROGRAMS if MODULES[name].name != "__init__.py"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_recipes_holds_programs_that_import_no_other_program(name):
    tree = SOURCES[name]
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert "main" in functions, f"{name} is no program: it has no main"
    assert [argument.arg for argument in functions["main"].args.args] == ["argv"]
    assert not {target for target in IMPORTS[name] if target.startswith("paravox.recipes")}
    ending = tree.body[-1]
    assert ast.unparse(ending).startswith("if __name__ == '__main__':\n    run(main"), f"{name} ends in its own way"
    has_hint = any(isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GO_ON" for node in tree.body)
    imported = any(
        alias.name == "GO_ON" for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    )
    # What Ctrl-C says must not depend on whether a program is started by its file or by the command.
    assert ("go_on=GO_ON" in ast.unparse(ending)) == (has_hint or imported)
    assert ast.get_docstring(tree), f"{name} does not say what it does"


def test_no_library_imports_programs():
    for name, targets in IMPORTS.items():
        if not name.startswith("paravox.recipes"):
            assert not {target for target in targets if target.startswith("paravox.recipes")}, name


def test_the_command_starts_programs_that_exist():
    started = {f"paravox.recipes.{program}" for program, _ in COMMANDS.values()}
    assert started <= set(PROGRAMS) and len(started) == len(COMMANDS)


def test_inference_never_imports_the_study():
    reached, waiting = set(), [name for name in MODULES if room_of(name) == "inference"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += IMPORTS[name] - {"paravox"}
    assert not {name for name in reached if room_of(name) == "study"}


def test_every_module_is_reached_from_a_program_or_a_public_name():
    public = {f"paravox.{place}" for place in paravox._public_names.values()}
    reached, waiting = set(), [*PROGRAMS, *public, *TOP]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += IMPORTS[name]
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    unreached = set(MODULES) - reached - packages - set(LEFT_OUT_OF_REACH)
    assert not unreached, f"nothing uses {', '.join(sorted(unreached))}: delete them or say why they stay"


def test_modeling_imports_nothing_that_a_saved_model_does_not_carry():
    allowed = {
        "numpy",
        "safetensors",
        "soundfile",
        "soxr",
        "torch",
        "transformers",
        "av",
        "opensmile",
        "typing_extensions",  # torch brings it
        *sys.stdlib_module_names,
    }
    for name, tree in SOURCES.items():
        if room_of(name) != "modeling":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, name
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 1 and "." not in node.module or node.module.split(".")[0] in allowed, name


def reached_from(name: str) -> set[str]:
    """The modules that a module imports, and those that they import, and so on."""
    reached, waiting = set(), [name]
    while waiting:
        new = IMPORTS[waiting.pop()] - reached
        reached |= new
        waiting += new
    return reached - {name}


def opened_by_auto_classes():
    """The modules of all classes that are registered for an Auto class, which some other module may do."""
    texts = {name: path.read_text() for name, path in MODULES.items() if room_of(name) == "modeling"}
    registered = set(re.findall(r"(\w+)\.register_for_auto_class\(", "\n".join(texts.values())))
    return [name for name, text in texts.items() if registered & set(re.findall(r"^class (\w+)", text, re.MULTILINE))]


@pytest.mark.parametrize("name", opened_by_auto_classes())
def test_what_an_auto_class_opens_names_every_file_that_it_needs(name):
    """Transformers before 5.6 copies from a folder only those that the opened file imports itself."""
    needed = reached_from(name) - {"paravox.modeling"}
    assert needed == IMPORTS[name] - {"paravox.modeling"}
    # The pipeline of a saved model travels with it, though no code of the model uses it.
    assert ("paravox.modeling.pipeline_vocal_burst" in needed) == (".modeling_" in name)


def test_type_checkers_know_every_public_name():
    typed = {
        alias.name
        for block in SOURCES["paravox"].body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in block.body
        for alias in node.names
    }
    assert typed == set(paravox.__all__) - {"__version__"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_files_and_functions_can_be_read_in_one_sitting(name):
    text = MODULES[name].read_text()
    assert len(text.splitlines()) <= 520, f"{name} is two files"
    for node in ast.walk(SOURCES[name]):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno <= 90, f"{name}.{node.name} is two functions"


def test_every_source_file_has_its_test_file_or_is_tested_by_a_named_other_one():
    tests = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    found = [name for name, path in MODULES.items() if f"test_{path.name}" in tests]
    # Not a rule without exceptions: configs are tested with their models, figures with the numbers that they show.
    assert len(found) >= 0.7 * len([path for path in MODULES.values() if path.name != "__init__.py"])
