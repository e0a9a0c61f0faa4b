"""Adapts a model to a few labelled clips, in seconds: a new head on its frozen encoder.

    paravox adapt my_clips --model runs/mine/model --output_dir me
    paravox predict new.wav --model me

CLIPS is a folder with one sub-folder per label, such as my_clips/content/1.wav and my_clips/in pain/1.wav, or a folder
with a table metadata.csv (or the table itself) with the columns file_name and label and, if there are several speakers,
speaker. Two clips are enough to try it, a few hundred are not too many. The labels can be any words.

The model may be a Burst2Vec or pre-finetuned model or an encoder. Its layer and the strength of the penalty are those
that the few-shot study recommends, unless a cross-validation over your clips finds better ones. The result is a model
like any other, with a card that says what it was given and how well it tells clips that it has not learned from.
"""

import argparse
from pathlib import Path

from paravox.corpora.labelled_clips import LabelledClips, read_labelled_clips
from paravox.inference.adaptation import Adaptation, adapt
from paravox.inference.defaults import ADAPTED_TASK, DEFAULT_MODEL
from paravox.modeling.errors import ConfigError
from paravox.runs.adapted_card import write_adapted_model
from paravox.runs.device_options import add_device_options, chosen_device
from paravox.runs.program import run


def main(argv: list[str] | None = None) -> Adaptation:
    """Adapts the model, prints what came of it, and returns it."""
    arguments = parse_arguments(argv)
    folder = arguments.output_dir
    check_output_folder(folder, arguments.model, arguments.overwrite)
    clips = read_labelled_clips(arguments.clips)
    print(f"{len(clips.paths)} clips, labelled by {clips.source}")
    device, dtype = chosen_device(arguments.device, arguments.dtype)
    adapted = adapt(
        arguments.model,
        clips.paths,
        clips.labels,
        clips.speakers,
        task=arguments.task,
        layer=arguments.layer,
        skip_bad=arguments.skip_bad,
        revision=arguments.revision,
        device=device,
        dtype=dtype,
    )
    write_adapted_model(folder, adapted, arguments.model)
    print_result(adapted, folder, clips)
    return adapted


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("clips", metavar="CLIPS", type=Path, help="Folder or table with the labelled clips.")
    parser.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        required=DEFAULT_MODEL is None,
        help="Folder or Hub name of the model or encoder to adapt.",
    )
    parser.add_argument("--revision", help="Branch, tag or commit of a model on the Hub (default: main).")
    parser.add_argument("--output_dir", type=Path, required=True, help="Folder for the adapted model.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the model that --output_dir holds.")
    parser.add_argument(
        "--task", default=ADAPTED_TASK, help="Name of what the model predicts, such as mood (default: %(default)s)."
    )
    parser.add_argument(
        "--layer",
        type=int,
        help="Hidden state of the encoder to use, from 0, the one before the first layer (default: the study's, unless "
        "another one is clearly better).",
    )
    parser.add_argument(
        "--skip_bad", action="store_true", help="Leave out clips that cannot be used, instead of stopping."
    )
    add_device_options(parser)
    return parser.parse_args(argv)


def check_output_folder(folder: Path, model: str, overwrite: bool) -> None:
    """Raises [`ConfigError`] if writing would replace the model to adapt, or, without --overwrite, another one."""
    if Path(model).resolve() == folder.resolve():
        raise ConfigError(f"output_dir {folder} is the model to adapt: choose another folder")
    if folder.is_file():
        raise ConfigError(f"output_dir {folder} is a file: choose another name")
    if (folder / "config.json").exists() and not overwrite:
        raise ConfigError(f"output_dir {folder} already holds a model: choose another, or replace it with --overwrite")


def print_result(adapted: Adaptation, folder: Path, clips: LabelledClips) -> None:
    """Prints what the model was given, how well it does, and how to use it."""
    for name, count in adapted.clips.items():
        print(f"  {name}: {count} clip{'' if count == 1 else 's'}, {adapted.seconds[name]:.1f} s")
    for reason in adapted.left_out:
        print(f"left out: {reason}")
    print(adapted.summary)
    print(f"The model is saved in {folder}. Try it: paravox predict {clips.paths[0]} --model {folder}")


if __name__ == "__main__":
    run(main)
