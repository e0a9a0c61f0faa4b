"""Exports a saved model or ensemble to ONNX, which runs without PyTorch.

    paravox export runs/real_bursts/model --output model.onnx

The file takes what the feature extractor returns, for any number of clips of any length, and has one output per task,
under its name: intensities in 0..1, a scalar in its unit, or class probabilities. Its metadata hold, each as JSON, the
`tasks` with their labels, the `sampling_rate` and the settings of the `feature_extractor`. If onnxruntime is installed,
the file is compared with the model at once. paravox/inference/onnx_export.py shows how to use the file.
"""

import argparse
from importlib.util import find_spec
from pathlib import Path

from paravox.inference.onnx_export import check_file, export_onnx, require_onnx
from paravox.inference.opening import open_model
from paravox.runs.device_options import chosen_device
from paravox.runs.program import run


def main(argv: list[str] | None = None) -> Path:
    """Exports the model, compares the file with it, prints the difference, and returns the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "model", metavar="MODEL", help="Folder of a model that train or ensemble wrote, or its name on the Hub."
    )
    parser.add_argument(
        "--output", type=Path, default=Path("model.onnx"), help="ONNX file to write (default: %(default)s)."
    )
    parser.add_argument("--revision", help="Branch, tag or commit of a model on the Hub (default: main).")
    arguments = parser.parse_args(argv)
    require_onnx()
    # Where onnxruntime runs the file, and in its type, so that the two can be compared closely.
    device, dtype = chosen_device("cpu", "float32")
    model, extractor = open_model(arguments.model, arguments.revision, device, dtype)
    file = export_onnx(model, extractor, arguments.output)
    print(f"{file}: {', '.join(model.tasks)} from {', '.join(extractor.model_input_names)}")
    if find_spec("onnxruntime") is None:
        print("not compared with PyTorch, because onnxruntime is not installed: pip install 'paravox[onnx]'")
    else:
        difference = check_file(model, extractor, file)
        print(f"largest difference from PyTorch on two clips, alone and padded together: {difference:.1e} of 0..1")
    return file


if __name__ == "__main__":
    run(main)
