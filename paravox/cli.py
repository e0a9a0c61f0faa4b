"""The `paravox` command: the programs of `paravox.recipes` by name."""

import ast
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import paravox
from paravox.modeling.errors import did_you_mean
from paravox.runs.program import INTERRUPTED, START_AGAIN, reader_may_leave, run

COMMANDS = {
    "init": ("init", "look at a folder of clips and write a YAML file that trains on them"),
    "train": ("burst2vec.train", "train a Burst2Vec model from a YAML file"),
    "train_compare": ("burst2vec.train_compare", "train the ExVo challenge's baseline on openSMILE functionals"),
    "repeat": ("burst2vec.repeat", "train one YAML file with several seeds and compare the runs, with intervals"),
    "table_2": ("burst2vec.table_2", "train the models of a suite and make the paper's Table 2 from them"),
    "score": ("burst2vec.score", "score one or several saved models on a corpus"),
    "audit": ("burst2vec.audit", "measure what the representations of saved models leak"),
    "ensemble": ("burst2vec.ensemble", "combine several saved models into one"),
    "calibrate": ("burst2vec.calibrate", "calibrate a saved model on Val, and let it tell unusual recordings"),
    "predict": ("burst2vec.predict", "predict emotion, age and origin of recordings"),
    "timeline": ("timeline", "find and name the bursts of a long recording"),
    "adapt": ("adapt", "adapt a model to a few labelled clips, in seconds"),
    "export": ("export", "export a saved model to ONNX, which runs without PyTorch"),
    "publish": ("publish", "publish a saved model on the Hub"),
    "describe": ("describe", "show what a corpus holds"),
    "configs": ("configs", "list the YAML files that come with paravox, or print one of them"),
    "doctor": ("doctor", "say what is installed, which device is used, and what is missing"),
    "prefinetune": ("prefinetuning.prefinetune", "pre-finetune an encoder on emotion corpora"),
    "few_shot": ("prefinetuning.few_shot", "run the few-shot study"),
    "report": ("prefinetuning.report", "make the figures and tables of the few-shot study"),
}
# These read a YAML file. Their settings can be shown without the libraries that they need.
WITH_SETTINGS = ("train", "train_compare", "prefinetune", "few_shot")
HELP = ("-h", "--help", "--help_all")
USAGE = "usage: paravox COMMAND ...\n\n" + "".join(
    f"  {command:13} {purpose}\n" for command, (_, purpose) in COMMANDS.items()
)


def main() -> None:
    """Runs the command that the first argument names, with the arguments that follow it."""
    with reader_may_leave():
        answer(*(sys.argv[1:] or [""]))


def answer(name: str, *arguments: str) -> None:
    """Runs a command, or prints what it was asked for, and ends the process.

    Args:
        name (`str`): of the command, or an option of `paravox` itself.
        arguments (`str`): of the command.
    """
    # Answered before anything else is imported, because the libraries take seconds.
    if name in ("", "-h", "--help"):
        print(f"{USAGE}\nEach command explains its options with --help. paravox --version prints the version.")
        sys.exit(0 if name else 2)
    if name == "--version":
        print(f"paravox {paravox.__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        advice = did_you_mean(name, COMMANDS, otherwise="paravox --help lists the commands")
        print(f"paravox: unknown command {name!r}: {advice}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"paravox {name}", *arguments]  # argparse names the program after it
    try:
        if set(HELP) & set(arguments):
            show_help(name, arguments)
        program = import_module(f"paravox.recipes.{COMMANDS[name][0]}")
    except KeyboardInterrupt:  # the libraries take seconds to import
        print(f"\nStopped before it began. To go on, {START_AGAIN}.", file=sys.stderr)
        sys.exit(INTERRUPTED)
    run(program.main, arguments, go_on=getattr(program, "GO_ON", START_AGAIN))


def show_help(name: str, arguments: Sequence[str]) -> None:
    """Prints the help of a program, without importing the libraries that the program needs, and ends the process.

    Args:
        name (`str`): of the command.
        arguments (list of `str`): of the command, with one of `HELP`.
    """
    program = COMMANDS[name][0]
    if name in WITH_SETTINGS:
        show_settings(program, arguments)
    from paravox.runs.late_imports import main_with_late_imports

    run(main_with_late_imports(f"paravox.recipes.{program}"), arguments)


def show_settings(program: str, arguments: Sequence[str]) -> None:
    """Prints the help of a program that reads a YAML file, as the program does itself, and ends the process.

    Args:
        program (`str`): a module of `paravox.recipes`, such as `burst2vec.train`.
        arguments (list of `str`): of its command line, with one of `HELP`.
    """
    from paravox.runs.program_settings import SETTINGS
    from paravox.runs.settings import parse_settings

    source = Path(find_spec(f"paravox.recipes.{program}").origin)
    parse_settings(SETTINGS[program], arguments, ast.get_docstring(ast.parse(source.read_text()), clean=False))
