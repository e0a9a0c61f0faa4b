"""Exports models to ONNX, compares the file with its model, and runs it in onnxruntime.

To use a file without the folder of its model:

    session = onnxruntime.InferenceSession("model.onnx")
    about = session.get_modelmeta().custom_metadata_map
    extractor = Burst2VecFeatureExtractor.from_dict(json.loads(about["feature_extractor"]))
    inputs = dict(extractor(["laugh.wav", "sigh.ogg"], return_tensors="np"))
    names = [task["name"] for task in json.loads(about["tasks"])]
    predictions = dict(zip(names, session.run(names, inputs)))

The feature extractor of an ensemble is a `Burst2VecEnsembleFeatureExtractor`, that of the challenge's baseline a
`ComParEFeatureExtractor`, which needs openSMILE.
"""

import json
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import BatchFeature

import paravox
from paravox.inference.opening import FeatureExtractor, Model
from paravox.modeling.errors import ConfigError, needs_extra
from paravox.modeling.tasks import Task

# The largest difference between two correct ways to add the same float32 numbers, for values in 0..1.
TOLERANCE = 1e-4


def require_onnx() -> None:
    """Raises [`ConfigError`] if a library that writing an ONNX file needs is not installed."""
    absent = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if absent:
        raise ConfigError(needs_extra("export to ONNX", absent[0], "onnx"))


class _Predictions(nn.Module):
    """A model as ONNX sees it: it takes tensors in the order of `inputs` and returns one tensor per task."""

    def __init__(self, model: Model, inputs: list[str]) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        predictions = self.model(**dict(zip(self.inputs, tensors, strict=True))).predictions
        return tuple(predictions[task] for task in self.model.tasks)


def export_onnx(model: Model, extractor: FeatureExtractor, file: str | Path) -> Path:
    """Writes a model as an ONNX file. Weights of more than 2 GB, the limit of ONNX, go into `FILE.data` beside it.

    Args:
        model ([`Burst2VecForMultiTask`], [`ComParEForMultiTask`] or [`Burst2VecEnsemble`]): in float32; it is put in
            evaluation mode.
        extractor: the feature extractor that was saved with the model.
        file (`str` or `Path`): its folder is made if it does not exist.

    Returns:
        `Path`: the file.

    Raises:
        ConfigError: if onnx or onnxscript is not installed, a task is named like an input, or the file is a folder.
    """
    file, inputs = Path(file), extractor.model_input_names
    taken = sorted(set(inputs) & set(model.tasks))
    if taken:
        raise ConfigError(
            f"task {taken[0]!r} is named like an input, but all names in an ONNX file must differ: rename the task"
        )
    if file.is_dir():
        raise ConfigError(f"output {str(file)!r} is a folder: name a file, such as {str(file / 'model.onnx')!r}")
    require_onnx()
    model.eval()
    clips = noise_clips(extractor, (0.5, 0.3))
    batch = extractor(clips, return_tensors="pt").to(model.device)
    # Uses torch.export. The older exporter is quicker, but it is deprecated, turns everything that depends on the
    # lengths of the example into constants, and fails on the sum over layers of `layer_weights`.
    with _without_warnings():
        program = torch.onnx.export(
            _Predictions(model, inputs).eval(),
            tuple(batch[name] for name in inputs),
            input_names=inputs,
            output_names=list(model.tasks),
            dynamic_shapes=(tuple(_axes(name, batch) for name in inputs),),
            dynamo=True,
            verbose=False,
        )
    _tidy(program.model.graph)
    _describe(program.model, model, extractor)
    file.parent.mkdir(parents=True, exist_ok=True)
    # Aside, but under its own name, by which the file would find weights beside it; these are moved first.
    with TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as aside:
        program.save(Path(aside) / file.name)
        for written in sorted(Path(aside).iterdir(), reverse=True):
            os.replace(written, file.parent / written.name)
    return file


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Hides warnings of the exporter that do not concern these models, such as those about torchvision."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def noise_clips(extractor: FeatureExtractor, shares: tuple[float, ...]) -> list[tuple[np.ndarray, int]]:
    """Clips of noise, each as long as a share of two seconds, or of `max_seconds` if that is less."""
    generator = np.random.default_rng(0)
    samples = min(2.0, extractor.max_seconds or 2.0) * extractor.sampling_rate
    return [
        (generator.normal(scale=0.1, size=max(1, int(share * samples))), extractor.sampling_rate) for share in shares
    ]


def _axes(name: str, batch: BatchFeature) -> dict[int, str]:
    """The dynamic axes of an input: the first and, but for functionals, the last.

    A mask is as long as its input, so they share a name.
    """
    if name == "functionals":
        return {0: "batch"}
    of_frames = name == "feature_attention_mask" or "input_values" not in batch or name == "input_features"
    return {0: "batch", batch[name].ndim - 1: "frames" if of_frames else "samples"}


def _tidy(graph: Any) -> None:
    """Removes notes on how the graph was made, which name folders of this machine; keeps the names of the tasks."""
    constants, nodes = list(graph.initializers.values()), list(graph.all_nodes())
    inner = constants + [value for node in nodes for value in node.outputs if not value.is_graph_output()]
    for part in (graph, *graph.inputs, *graph.outputs, *nodes, *inner):
        part.metadata_props.clear()
    for value in inner:
        # A task may be called "linear" or "add", like values inside the graph, but no name of a task ends in a blank.
        value.name = f"{value.name} "


def _describe(onnx_model: Any, model: Model, extractor: FeatureExtractor) -> None:
    """Writes into the metadata of the file what its outputs are, and the feature extractor that makes its inputs."""
    tasks = [task.output_fields for task in model.tasks.values()]
    onnx_model.producer_name, onnx_model.producer_version = "paravox", paravox.__version__
    onnx_model.metadata_props.update(
        tasks=json.dumps(tasks),
        sampling_rate=json.dumps(extractor.sampling_rate),
        feature_extractor=json.dumps(extractor.to_dict()),
    )


def open_session(file: str | Path, threads: int | None = None) -> Any:
    """Opens an ONNX file in onnxruntime, on the CPU.

    Args:
        file (`str` or `Path`): an ONNX file.
        threads (`int`, *optional*): the number of threads; by default as many as PyTorch uses.

    Raises:
        ConfigError: if onnxruntime is not installed.
    """
    if find_spec("onnxruntime") is None:
        raise ConfigError(needs_extra("running an ONNX file", "onnxruntime", "onnx"))
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def predict_by_session(session: Any, inputs: BatchFeature) -> dict[str, np.ndarray]:
    """The predictions of an ONNX file per task, for what the feature extractor returns."""
    names = [output.name for output in session.get_outputs()]
    return dict(
        zip(names, session.run(names, {name: np.asarray(values) for name, values in inputs.items()}), strict=True)
    )


def largest_difference(tasks: list[Task], first: dict[str, Any], second: dict[str, Any]) -> float:
    """The largest difference between two sets of predictions, where a scalar counts as a share of its range."""
    differences = []
    for task in tasks:
        low, high = task.range or (0.0, 1.0)
        difference = np.abs(np.asarray(first[task.name]) - np.asarray(second[task.name]))
        differences.append(float(difference.max()) / (high - low))
    return max(differences)


def check_file(model: Model, extractor: FeatureExtractor, file: str | Path) -> float:
    """Compares a file with its model on two clips of noise, alone and padded together.

    Returns:
        `float`: the largest difference, as in [`largest_difference`].

    Raises:
        ConfigError: if the difference is larger than rounding of float32 explains, or onnxruntime is not installed.
    """
    session = open_session(file)
    clips = noise_clips(extractor, (0.2, 1.0))
    differences = []
    for group in (clips[:1], clips[1:], clips):
        inputs = extractor(group, return_tensors="pt")
        with torch.inference_mode():
            expected = model(**inputs.to(model.device)).predictions
        expected = {task: values.cpu() for task, values in expected.items()}
        found = predict_by_session(session, inputs.to("cpu"))
        differences.append(largest_difference(list(model.tasks.values()), expected, found))
    largest = max(differences)
    if not largest < TOLERANCE:
        raise ConfigError(
            f"{file} differs from its model by {largest:.1e} of 0..1, expected less than {TOLERANCE:g}: do not use it, "
            "and install the versions of onnx, onnxscript and onnxruntime in constraints.txt"
        )
    return largest
