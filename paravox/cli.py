"""The `paravox` command: the recipes by name."""

import sys
from importlib import import_module

from paravox.modeling.errors import AudioError, CheckpointError, ConfigError, CorpusError

COMMANDS = {
    "train": ("paravox.recipes.burst2vec.train", "train Burst2Vec from a YAML file"),
    "repeat": ("paravox.recipes.burst2vec.repeat", "train one YAML over several seeds and compare with intervals"),
    "score": ("paravox.recipes.burst2vec.score", "score one or several saved models on a corpus"),
    "ensemble": ("paravox.recipes.burst2vec.ensemble", "put saved models together in one folder"),
    "predict": ("paravox.recipes.burst2vec.predict", "predict emotion, age and origin of recordings"),
    "export": ("paravox.recipes.export", "export a saved model to ONNX, which runs without PyTorch"),
    "publish": ("paravox.recipes.publish", "publish a saved model on the Hub"),
    "describe": ("paravox.recipes.describe", "show what a corpus holds"),
    "prefinetune": ("paravox.recipes.prefinetuning.prefinetune", "pre-finetune an encoder on emotion corpora"),
    "few_shot": ("paravox.recipes.prefinetuning.few_shot", "run the few-shot study"),
    "report": ("paravox.recipes.prefinetuning.report", "make the study's figures and tables"),
}


def main() -> None:
    """Runs the command named first with the arguments behind it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        print("usage: paravox COMMAND ..., each with --help\n")
        print("\n".join(f"  {command:12}{what}" for command, (_, what) in COMMANDS.items()))
        sys.exit(0 if name in ("-h", "--help") else 2)
    try:
        import_module(COMMANDS[name][0]).main(sys.argv[2:])
    except (AudioError, CheckpointError, ConfigError, CorpusError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
