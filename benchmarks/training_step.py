"""Row a: a training step of Burst2Vec against the bare encoder's forward, backward and optimizer step.

    python benchmarks/training_step.py
    python benchmarks/training_step.py --encoder HL --dtype bfloat16 --compile --clips 32 --row a_hl

An encoder with random weights, the same padded batches, by turns; `training_steps.py` says what is counted. By default
it is wav2vec 2.0 of the base size on the processor, in float32.
"""

import argparse

from timing import record
from training_steps import encoder_config, make_batches, measure_training_step
from transformers import Wav2Vec2Config

from paravox.trainers.devices import DTYPES, choose_device


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--encoder", default="wav2vec2_base", help="WL, HB, HL, wavlm_base, whisper_base or tiny.")
    parser.add_argument("--device", default="cpu", help="Where both run.")
    parser.add_argument("--dtype", default="float32", choices=[name for name in DTYPES if name != "float16"])
    parser.add_argument("--compile", action="store_true", help="Train Burst2Vec with torch_compile.")
    parser.add_argument("--repeats", type=int, default=9, help="Turns of each, of which the median counts.")
    parser.add_argument("--clips", type=int, default=8, help="Clips of a batch.")
    parser.add_argument("--seconds", type=float, nargs=2, default=[1.0, 3.0], help="The shortest and the longest clip.")
    parser.add_argument("--row", default="a", help="The row of results.json that gets the figures.")
    arguments = parser.parse_args(argv)
    base = Wav2Vec2Config(layerdrop=0.0)
    config = base if arguments.encoder == "wav2vec2_base" else encoder_config(arguments.encoder)
    measured = measure_training_step(
        config,
        make_batches(config, arguments.clips, [tuple(arguments.seconds)]),
        choose_device(arguments.device),
        arguments.dtype == "bfloat16",
        arguments.compile,
        arguments.repeats,
        warm_up=1 if arguments.device == "cpu" else 3,
    )
    values = {
        "ratio": measured["ratio"],
        "ours": round(measured["milliseconds"] / 1000, 4),
        "alternative": round(measured["bare_milliseconds"] / 1000, 4),
        "unit": "seconds a step",
    }
    record(arguments.row, values | {"encoder": arguments.encoder, "dtype": arguments.dtype, "measured": measured})


if __name__ == "__main__":
    main()
