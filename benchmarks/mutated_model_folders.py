"""Opens folders of saved models that were changed at random, and predicts with those that open.

    python benchmarks/mutated_model_folders.py --count 500 --seed 0

There is a tiny model of each class, an ensemble, and an encoder from which a model starts. In a copy of its folder, one
to three things are changed: fields of config.json and preprocessor_config.json (other types, absurd sizes, unknown and
missing keys, other tasks), the file of weights (cut, empty, pickled, other shapes, a lying header), missing files and
links. What mutants.py says of outcomes holds.
"""

import contextlib
import copy
import io
import json
import logging
import pickle
import random
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mutants import outcome_of, run_in_processes, run_program
from safetensors.torch import load_file, save_file
from transformers import HubertConfig, Wav2Vec2Config, WavLMConfig, WhisperConfig

from paravox.inference.opening import open_model
from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.configuration_compare import ComParEConfig
from paravox.modeling.configuration_prefinetuning import EncoderPreFinetuningConfig, Wav2Vec2PreFinetuningConfig
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.feature_extraction_compare import ComParEFeatureExtractor
from paravox.modeling.feature_extraction_ensemble import Burst2VecEnsembleFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask
from paravox.modeling.modeling_compare import ComParEForMultiTask
from paravox.modeling.modeling_ensemble import Burst2VecEnsemble
from paravox.modeling.modeling_prefinetuning import EncoderForPreFinetuning, Wav2Vec2ForPreFinetuning
from paravox.modeling.opening import open_checkpoint
from paravox.modeling.pipeline_vocal_burst import VocalBurstAnalysisPipeline

CHUNK = 100
TASKS = [
    {"name": "emotion", "kind": "intensities", "labels": ["Awe", "Fear"]},
    {"name": "age", "kind": "scalar", "range": [7, 81], "unit": "years"},
    {"name": "origin", "kind": "classes", "labels": ["Dutch", "English"]},
]
CLASSES = [TASKS[2]]
WAVEFORM = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
    "feat_extract_norm": "layer",
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 1,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_layers": 1,
    "vocab_size": 64,
    "max_source_positions": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
CLIP = (np.random.default_rng(0).normal(scale=0.1, size=8_000).astype(np.float32), 16_000)
CONFIGS = ("config.json", "preprocessor_config.json")
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3.5, 2**31, 300_000_000, 10**6, 10**9, 10**30, float("nan"), float("inf"), -1e308),
    *("", "x", "a\0b", "1", "x" * 5_000, "../..", "/etc/passwd", "whisper", "hubert", "float99", "gelu", "burst2vec"),
    *([], [1], [10**9], ["x", 3], {}, {"a": 1}, [[[[]]]], [3] * 5_000),
)


def save_models(folder: Path) -> list[str]:
    """Saves a tiny model of each class; returns the names of their folders."""
    torch.manual_seed(0)
    encoders = {
        "wav2vec2": Wav2Vec2Config(**WAVEFORM),
        "hubert": HubertConfig(**WAVEFORM),
        "wavlm": WavLMConfig(**WAVEFORM),
        "whisper": WhisperConfig(**WHISPER),
    }
    sizes = {"projection_size": 8, "feature_size": 8}
    for name, encoder in encoders.items():
        config = Burst2VecConfig(copy.deepcopy(encoder), TASKS, **sizes)
        _save(Burst2VecForMultiTask(config), Burst2VecFeatureExtractor.for_config(encoder), folder / name)
    _save(ComParEForMultiTask(ComParEConfig(TASKS, 6373, [4], [4])), ComParEFeatureExtractor(), folder / "compare")
    members = [str(folder / name) for name in ("hubert", "whisper")]
    extractor = Burst2VecEnsembleFeatureExtractor.from_members(members)
    _save(Burst2VecEnsemble.from_members(members), extractor, folder / "ensemble")
    for name, model_class, config_class in (
        ("prefinetuning", EncoderForPreFinetuning, EncoderPreFinetuningConfig),
        ("wav2vec2_prefinetuning", Wav2Vec2ForPreFinetuning, Wav2Vec2PreFinetuningConfig),
    ):
        encoder = encoders["wav2vec2" if "wav2vec2" in name else "whisper"]
        config = config_class(encoder=copy.deepcopy(encoder), tasks=CLASSES, projection_size=8)
        _save(model_class(config), Burst2VecFeatureExtractor.for_config(encoder), folder / name)
    for name in ("hubert", "whisper"):
        model = Burst2VecForMultiTask.from_pretrained(folder / name).encoder.model
        front_end = Burst2VecFeatureExtractor.for_config(encoders[name]).stock_extractor
        _save(model, front_end, folder / f"encoder_{name}")
    return sorted(path.name for path in folder.iterdir())


def _save(model: Any, extractor: Any, folder: Path) -> None:
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)


def change_config(folder: Path, draw: random.Random) -> None:
    """Changes a field of one of the two JSON files, at any depth."""
    file = folder / draw.choice(CONFIGS)
    if not file.is_file() or draw.random() < 0.15:
        _damage(file, draw)
        return
    try:
        values = json.loads(file.read_text())
    except (ValueError, RecursionError):  # it is damaged already
        return
    places = _places_in(values)
    # Sizes and settings rather than fields that say nothing of the model.
    deep = [one for one in places if len(one) > 1]
    if not places:
        return
    place = draw.choice(deep if deep and draw.random() < 0.5 else places)
    parent = values
    for key in place[:-1]:
        parent = parent[key]
    found, way = parent[place[-1]], draw.random()
    if way < 0.1:
        del parent[place[-1]]
    elif way < 0.2 and isinstance(parent, dict):
        parent[draw.choice(("x", "", "dtype", "encoder", "members", "quantization_config", "tasks"))] = draw.choice(
            VALUES
        )
    elif way < 0.3 and isinstance(found, list):
        parent[place[-1]] = found * draw.choice((2, 100_000))
    elif way < 0.4 and isinstance(found, (int, float)):
        parent[place[-1]] = found * draw.choice((2, 1_000_000, -1))
    elif way < 0.45:
        parent[place[-1]] = [f"label {number}" for number in range(200_000)]
    else:
        parent[place[-1]] = draw.choice(VALUES)
    file.write_text(json.dumps(values))


def _places_in(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, item in inner for place in [(*path, key), *_places_in(item, (*path, key))]]


def _damage(file: Path, draw: random.Random) -> None:
    content = file.read_bytes() if file.is_file() else b"{}"
    place = draw.randrange(len(content)) if content else 0
    flipped = bytes([content[place] ^ 1 << draw.randrange(8)]) if content else b"x"
    contents = (b"", content[:place], content[:place] + flipped + content[place + 1 :], b"[]", b"null", b"[" * 100_000)
    contents += (b'"x"', b"\xff\xfe{", content.decode("latin-1").encode("utf-16"), b"{" + content, b"\0" * 100)
    file.write_bytes(draw.choice(contents))


def change_weights(folder: Path, draw: random.Random) -> None:
    """Damages the file of weights, or puts another one into its place."""
    file = folder / "model.safetensors"
    if not file.is_file():
        return
    way = draw.randrange(9)
    if way < 4:
        _damage(file, draw)
        return
    try:
        weights = load_file(file)
    except Exception:  # it is damaged already
        return
    name = draw.choice(sorted(weights))
    if way == 4:
        del weights[name]
    elif way == 5:
        weights[name] = torch.zeros(draw.choice(((), (1,), (0,), (3, 5, 7), (1_000, 100))))
    elif way == 6:
        weights = {
            key: value.to(draw.choice((torch.float16, torch.int64, torch.bool))) for key, value in weights.items()
        }
    elif way == 7:
        file.unlink()
        pickled = draw.choice((pickle.dumps({"x": print}), b"\x80\x04.", b"cos\nsystem\n(S'true'\ntR."))
        (folder / "pytorch_model.bin").write_bytes(pickled)
        return
    else:
        content = file.read_bytes()
        file.write_bytes(draw.choice((2**62, 2**31, 0, 8)).to_bytes(8, "little") + content[8:])
        return
    save_file(weights, file, metadata={"format": "pt"})


def change_files(folder: Path, draw: random.Random) -> None:
    """Removes a file, or puts a link, a folder or an index of several files into its place."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors") and path.is_file())
    if not files:
        return
    file, way = draw.choice(files), draw.randrange(5)
    file.unlink()
    if way == 1:
        file.mkdir()
    elif way == 2:
        file.symlink_to(folder / "nowhere")
    elif way == 3:
        file.symlink_to(file)
    elif way == 4:
        index = {"metadata": {}, "weight_map": draw.choice(({}, {"x": "../../x"}, [], {"x": 3}, {"x": "/etc/passwd"}))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def open_and_predict(folder: Path) -> None:
    """Opens a folder as its own class, or as the encoder of a new model, and predicts a clip."""
    if folder.name.startswith("encoder_"):
        extractor = Burst2VecFeatureExtractor.from_encoder(str(folder))
        model = Burst2VecForMultiTask.from_encoder(str(folder), TASKS, projection_size=8, feature_size=8)
    elif "prefinetuning" in folder.name:
        model_class = Wav2Vec2ForPreFinetuning if "wav2vec2" in folder.name else EncoderForPreFinetuning
        model = model_class.from_pretrained(str(folder))
        extractor = open_checkpoint(Burst2VecFeatureExtractor.from_pretrained, str(folder))
    else:
        model, extractor = open_model(str(folder))
    if "functionals" not in extractor.model_input_names:
        VocalBurstAnalysisPipeline(model=model.eval(), feature_extractor=extractor)(CLIP)


def run_chunk(count: int, seed: int, first: int = 0) -> tuple[dict[str, Counter], list[str]]:
    """Tries some of the folders in this process; arguments and result as in mutants.py."""
    outcomes: dict[str, Counter] = {}
    faults = []
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        warnings.simplefilter("ignore")
        logging.disable(logging.ERROR)
        stack.callback(logging.disable, logging.NOTSET)
        names = save_models(Path(root, "sound"))
        for name in names:
            open_and_predict(Path(root, "sound", name))  # so that imports and buffers do not count
        for number in range(first, first + count):
            draw = random.Random(f"{seed} {number}")
            name = draw.choice(names)
            folder = Path(root, "changed", name)
            shutil.copytree(Path(root, "sound", name), folder)
            for _ in range(draw.choice((1, 1, 1, 2, 3))):
                draw.choices((change_config, change_weights, change_files), (6, 3, 1))[0](folder, draw)
            outcome, reason = outcome_of(lambda path=folder: open_and_predict(path))
            shutil.rmtree(folder)
            outcomes.setdefault(name, Counter())[outcome] += 1
            if outcome not in ("right", "our error"):
                faults.append(f"{number} {name}: {outcome}: {reason[:300]}")
    return outcomes, faults


def run(count: int, seed: int) -> dict[str, Any]:
    """Tries `count` folders in processes that may die; the result is as in mutants.py."""
    return run_in_processes(run_chunk, count, seed, CHUNK)


if __name__ == "__main__":
    run_program(run, 500, __doc__)
