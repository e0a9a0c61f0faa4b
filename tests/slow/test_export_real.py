"""The ONNX file of a model with real weights on real bursts, and of the encoders that the quick tests leave out."""

import csv

import numpy as np
import pytest
import torch

from paravox.inference.onnx_export import export_onnx
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

pytestmark = pytest.mark.slow

# Per source of the bursts: the first lasts 2 s at most, the second up to 6 s, the third 10 s.
CLIPS = {"emogator": 90, "deeply": 90, "accent_archive": 20}
TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": ["Amusement", "Awe", "Disgust", "Fear", "Triumph"]},
    {"name": "age", "kind": "scalar", "range": [10, 90], "unit": "years"},
    {"name": "sex", "kind": "classes", "labels": ["female", "male"]},
]
# Age counts as a share of its range.
SCALES = {"emotion": 1, "age": 80, "sex": 1}


@pytest.fixture(autouse=True)
def installed():
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: pip install 'paravox[onnx]'")


@pytest.fixture
def clips(shared):
    """200 bursts of many lengths, in an order that puts long and short ones together."""
    folder = shared / "corpora" / "bursts"
    if not (folder / "metadata.csv").is_file():
        pytest.skip(f"no real vocal bursts at {folder}")
    with open(folder / "metadata.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    generator = np.random.default_rng(0)
    drawn = []
    for source, count in CLIPS.items():
        names = [row["file_name"] for row in rows if row["source"] == source]
        drawn += list(generator.choice(names, count, replace=False))
    generator.shuffle(drawn)
    return [str(folder / name) for name in drawn]


def spread_heads(model, inputs):
    """Random heads, scaled so that over these inputs every logit has mean 0.5 and standard deviation 0.2."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        joint = model(**inputs).representations["joint"]
        for task, head in model.heads.items():
            torch.nn.init.normal_(head.weight, generator=generator)
            head.weight.mul_(0.2 / (joint[task] @ head.weight.T).std(dim=0).unsqueeze(1))
            head.bias.copy_(0.5 - (joint[task] @ head.weight.T).mean(dim=0))


def open_file(file):
    """The file as a function from the extractor's inputs to the outputs by name."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def predict(inputs):
        values = session.run(names, {name: tensor.numpy() for name, tensor in inputs.items()})
        return dict(zip(names, values, strict=True))

    return predict


def both(model, by_onnx, batches):
    """The predictions of both for batches of inputs, each joined over the batches."""
    with torch.inference_mode():
        expected = [{task: values.numpy() for task, values in model(**batch).predictions.items()} for batch in batches]
    found = [by_onnx(batch) for batch in batches]
    return tuple(
        {task: np.concatenate([batch[task] for batch in given]) for task in model.tasks} for given in (expected, found)
    )


def test_200_real_bursts_have_pytorch_s_predictions_alone_and_padded_together(shared, clips):
    folder = shared / "encoders" / "whisper-base"
    if not folder.is_dir():
        pytest.skip(f"no real encoder at {folder}")
    torch.manual_seed(0)
    model = Burst2VecForMultiTask.from_encoder(str(folder), tasks=TASKS, layer_weights=True).eval()
    extractor = Burst2VecFeatureExtractor.from_encoder(str(folder))
    spread_heads(model, extractor(clips[:20], return_tensors="pt"))
    by_onnx = open_file(export_onnx(model, extractor, "model.onnx"))
    alone = [extractor([clip], return_tensors="pt") for clip in clips]
    together = [extractor(clips[start : start + 10], return_tensors="pt") for start in range(0, len(clips), 10)]
    lengths = {int(batch["attention_mask"].sum()) for batch in alone}
    padded = [1 - batch["attention_mask"].double().mean().item() for batch in together]
    assert len(alone) == 200 and len(lengths) > 50 and max(lengths) > 5 * min(lengths)
    assert np.mean(padded) > 0.3, "batches without padding show nothing"

    expected, found = both(model, by_onnx, alone)
    expected_padded, found_padded = both(model, by_onnx, together)
    for task, scale in SCALES.items():
        assert len(np.unique(found[task].round(4), axis=0)) > 100, f"{task}: predictions that are alike show nothing"
        for kind, first, second in (
            ("alone", expected[task], found[task]),
            ("padded together", expected_padded[task], found_padded[task]),
            ("padded in the file, alone in PyTorch", expected[task], found_padded[task]),
        ):
            difference = np.abs(first - second).max() / scale
            print(f"{task}, {kind}: {difference:.1e}")
            assert difference < 1e-4, f"{task}, {kind}"


@pytest.mark.parametrize(
    ("encoder", "layer_weights"),
    [
        ("wav2vec2_group", False),
        ("wav2vec2_layer", True),
        ("hubert_layer", False),
        ("wavlm_layer", True),
        ("whisper", False),
    ],
)
def test_every_encoder_with_and_without_layer_weights(make_model, make_inputs, encoder, layer_weights):
    model = make_model(encoder, layer_weights=layer_weights)
    spread_heads(model, make_inputs(encoder, seconds=(0.9, 0.31, 0.12, 0.5)))
    extractor = Burst2VecFeatureExtractor.for_config(model.config.encoder)
    by_onnx = open_file(export_onnx(model, extractor, "model.onnx"))
    batches = [
        make_inputs(encoder, seconds=seconds) for seconds in ((0.9, 0.31, 0.12), (0.025,), (2.0,), (0.4, 0.4), (0.33,))
    ]
    expected, found = both(model, by_onnx, batches)
    for task, scale in {"emotion": 1, "age": 19, "country": 1}.items():
        assert np.ptp(found[task], axis=0).max() > 0.02, "clips that are all alike show nothing"
        np.testing.assert_allclose(found[task] / scale, expected[task] / scale, rtol=0, atol=1e-4, err_msg=task)
