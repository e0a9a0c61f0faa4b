"""The `paravox` command: the programs of `paravox.recipes` by name."""

import sys
from difflib import get_close_matches
from importlib import import_module

import paravox

COMMANDS = {
    "train": ("burst2vec.train", "train a Burst2Vec model from a YAML file"),
    "train_compare": ("burst2vec.train_compare", "train the ExVo challenge's baseline on openSMILE functionals"),
    "repeat": ("burst2vec.repeat", "train one YAML file with several seeds and compare the runs, with intervals"),
    "table_2": ("burst2vec.table_2", "train the models of a suite and make the paper's Table 2 from them"),
    "score": ("burst2vec.score", "score one or several saved models on a corpus"),
    "audit": ("burst2vec.audit", "measure what the representations of saved models leak"),
    "ensemble": ("burst2vec.ensemble", "combine several saved models into one"),
    "predict": ("burst2vec.predict", "predict emotion, age and origin of recordings"),
    "export": ("export", "export a saved model to ONNX, which runs without PyTorch"),
    "publish": ("publish", "publish a saved model on the Hub"),
    "describe": ("describe", "show what a corpus holds"),
    "prefinetune": ("prefinetuning.prefinetune", "pre-finetune an encoder on emotion corpora"),
    "few_shot": ("prefinetuning.few_shot", "run the few-shot study"),
    "report": ("prefinetuning.report", "make the figures and tables of the few-shot study"),
}
USAGE = "usage: paravox COMMAND ...\n\n" + "".join(
    f"  {command:13} {purpose}\n" for command, (_, purpose) in COMMANDS.items()
)


def main() -> None:
    """Runs the command that the first argument names, with the arguments that follow it."""
    name, *arguments = sys.argv[1:] or [""]
    # Answered before anything else is imported, because the libraries take seconds.
    if name in ("", "-h", "--help"):
        print(f"{USAGE}\nEach command explains its options with --help. paravox --version prints the version.")
        sys.exit(0 if name else 2)
    if name == "--version":
        print(f"paravox {paravox.__version__}")
        sys.exit(0)
    if name not in COMMANDS:
        # Not by did_you_mean, whose package imports Transformers.
        nearest = get_close_matches(name, COMMANDS, n=1)
        advice = f"did you mean {nearest[0]!r}?" if nearest else "paravox --help lists the commands"
        print(f"paravox: unknown command {name!r}: {advice}", file=sys.stderr)
        sys.exit(2)
    sys.argv = [f"paravox {name}", *arguments]  # argparse names the program after it
    try:
        program = import_module(f"paravox.recipes.{COMMANDS[name][0]}")
        from paravox.runs.program import START_AGAIN, run
    except KeyboardInterrupt:  # the libraries take seconds to import
        sys.exit(130)
    run(program.main, arguments, go_on=getattr(program, "GO_ON", START_AGAIN))
