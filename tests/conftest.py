"""What the tests share: tiny encoders with random weights, three tasks, models over them and batches for them."""

import copy
import itertools
import json
import os
import subprocess
import sys

# Before the first import of a library that reads them: no test may reach the network or take every core.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from little_corpora import write_clip
from transformers import (
    HubertConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    WavLMConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
)
from transformers.utils.logging import disable_progress_bar

from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.encoders import build_encoder
from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

disable_progress_bar()


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: needs real recordings or weights, or much time")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """What a YAML names by a relative path is written to the test's own folder, never into the checkout."""
    monkeypatch.chdir(tmp_path)


NO_DROPOUT = {
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "layerdrop": 0.0,
}
# The real seven convolutions, made narrow: 16,000 samples are 49 frames, and 400 are one.
WAVEFORM = {
    **NO_DROPOUT,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "vocab_size": 12,
    "hidden_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "mask_time_prob": 0.0,
    # Larger than by default, so that the few layers do something.
    "initializer_range": 0.1,
}
GROUP_NORM = {**WAVEFORM, "feat_extract_norm": "group", "do_stable_layer_norm": False}
LAYER_NORM = {**WAVEFORM, "feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


@pytest.fixture(scope="session")
def tiny_encoder_configs():
    whisper = WhisperConfig(
        d_model=32,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=64,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        dropout=0.0,
        attention_dropout=0.0,
        activation_dropout=0.0,
        encoder_layerdrop=0.0,
        init_std=0.1,
    )
    return {
        "wav2vec2_group": Wav2Vec2Config(
            **GROUP_NORM, codevector_dim=16, proj_codevector_dim=16, num_codevectors_per_group=8
        ),
        "wav2vec2_layer": Wav2Vec2Config(
            **LAYER_NORM, codevector_dim=16, proj_codevector_dim=16, num_codevectors_per_group=8
        ),
        "hubert_layer": HubertConfig(**LAYER_NORM),
        "wavlm_layer": WavLMConfig(**LAYER_NORM),
        "whisper": whisper,
    }


@pytest.fixture(scope="session")
def tiny_encoders(tiny_encoder_configs):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {name: build_encoder(config).eval() for name, config in tiny_encoder_configs.items()}


@pytest.fixture
def encoder_configs(tiny_encoder_configs):
    """Configs by name, free to be changed."""
    return copy.deepcopy(tiny_encoder_configs)


@pytest.fixture
def encoders(tiny_encoders):
    """Encoders by name, in evaluation mode, free to be changed."""
    return copy.deepcopy(tiny_encoders)


@pytest.fixture
def tasks():
    return [
        {"name": "emotion", "kind": "intensities", "labels": ["amusement", "awe", "fear"]},
        {"name": "age", "kind": "scalar", "range": [20, 39], "unit": "years"},
        {"name": "country", "kind": "classes", "labels": ["China", "South Africa", "USA", "Venezuela"]},
    ]


@pytest.fixture
def make_model(encoder_configs, tasks):
    """Builds a tiny Burst2Vec from a seed; without dropout, so that two passes agree."""

    def make(encoder="wav2vec2_layer", seed=0, **settings):
        settings = {
            "encoder": encoder_configs[encoder],
            "tasks": tasks,
            "projection_size": 16,
            "feature_size": 12,
            "dropout": 0.0,
            **settings,
        }
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return Burst2VecForMultiTask(Burst2VecConfig(**settings)).eval()

    return make


@pytest.fixture
def make_inputs():
    """Random inputs of a seed for an encoder: clips of the given seconds, padded to the longest."""

    def make(encoder="wav2vec2_layer", seconds=(0.25, 0.25, 0.25, 0.25, 0.25, 0.25), seed=0, dtype=torch.float32):
        generator = torch.Generator().manual_seed(seed)
        rate, name = (100, "input_features") if encoder == "whisper" else (16_000, "input_values")
        lengths = torch.tensor([round(rate * duration) for duration in seconds])
        shape = (len(lengths), 80) if encoder == "whisper" else (len(lengths),)
        mask = torch.arange(int(lengths.max())) < lengths.unsqueeze(1)
        values = torch.randn(*shape, int(lengths.max()), generator=generator, dtype=dtype)
        values = values * (mask.unsqueeze(1) if encoder == "whisper" else mask)
        return {name: values, "attention_mask": mask.long()}

    return make


@pytest.fixture
def labels():
    """Known labels of six clips for the three tasks."""
    generator = torch.Generator().manual_seed(5)
    return {
        "emotion": torch.rand(6, 3, generator=generator),
        "age": 20 + 19 * torch.rand(6, generator=generator),
        "country": torch.tensor([0, 3, 1, 2, 3, 1]),
    }


@pytest.fixture(scope="session")
def open_corpora(tmp_path_factory):
    """Small trees of the four open corpora, as their owners lay them out: two clips a speaker and emotion."""
    folder = tmp_path_factory.mktemp("corpora")
    seed = itertools.count()
    for speaker, take in itertools.product(range(1, 5), "ab"):
        for code in "WLEAFTN":
            write_clip(folder / f"emodb/wav/{speaker:02}a01{code}{take}.wav", next(seed), rate=22_050)
        for emotion in ("01Neutral", "02Fearful", "03Happy", "04Sad", "05Angry"):
            name = f"{emotion[2].lower()}{emotion[1]}-01-0{'ab'.index(take) + 1}-02-{speaker:02}"
            write_clip(folder / f"ased/{emotion}/{name}.flac", next(seed))
        for emotion, code in (("Angry", "kz"), ("Calm", "sk"), ("Happy", "mt"), ("Sad", "hl")):
            name = f"115{speaker}_{code}_word{take}"
            write_clip(folder / f"turev/Sound Source/{emotion}/{name}.ogg", next(seed), rate=48_000)
        for code in range(1, 9):
            name = f"03-01-{code:02}-01-01-0{'ab'.index(take) + 1}-{speaker:02}"
            write_clip(folder / f"ravdess/Actor_{speaker:02}/{name}.wav", next(seed))
    return folder


@pytest.fixture(scope="session")
def esd_folder(tmp_path_factory):
    """A small tree laid out as ESD: two speakers, three emotions, 4 train, 2 evaluation and 3 test clips of each."""
    folder = tmp_path_factory.mktemp("esd")
    seed = itertools.count()
    for speaker in ("0001", "0011"):
        for block, emotion in enumerate(("Neutral", "Angry", "Happy")):
            number = 350 * block
            for split, clips in (("evaluation", 2), ("test", 3), ("train", 4)):
                for _ in range(clips):
                    number += 1
                    name = f"{speaker}_{number:06}.wav"
                    write_clip(folder / speaker / emotion / split / name, 2 * next(seed) + block % 2, rate=22_050)
    return folder


@pytest.fixture(scope="session")
def saved_encoders(tmp_path_factory, tiny_encoders):
    """Folders with a tiny encoder and its feature extractor: wav2vec2 and whisper."""
    folders = {}
    for name, source in (("wav2vec2", "wav2vec2_layer"), ("whisper", "whisper")):
        folders[name] = tmp_path_factory.mktemp(name)
        tiny_encoders[source].model.save_pretrained(folders[name])
        extractor = Wav2Vec2FeatureExtractor(do_normalize=True) if name == "wav2vec2" else WhisperFeatureExtractor()
        extractor.save_pretrained(folders[name])
    return folders


@pytest.fixture
def saved_members(make_model, tmp_path):
    """Folders of three models with their feature extractors, whose encoders are wav2vec 2.0, HuBERT and Whisper."""
    folders = []
    for seed, encoder in enumerate(("wav2vec2_layer", "hubert_layer", "whisper")):
        model = make_model(encoder, seed=seed, layer_weights=encoder == "hubert_layer")
        generator = torch.Generator().manual_seed(seed)
        for head in model.heads.values():
            # Wide enough that some predictions are clipped and no mean of probabilities is one of logits.
            torch.nn.init.normal_(head.weight, std=3.0, generator=generator)
            torch.nn.init.normal_(head.bias, mean=0.5, generator=generator)
        folder = tmp_path / "members" / encoder
        model.save_pretrained(folder)
        Burst2VecFeatureExtractor.for_config(model.config.encoder).save_pretrained(folder)
        folders.append(str(folder))
    return folders


OPEN_ELSEWHERE = """
import json, sys
# Even where paravox is installed, this process must not find it.
sys.modules["paravox"] = None
try:
    import paravox
except ImportError:
    pass
else:
    sys.exit("paravox could be imported: this shows nothing")
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, pipeline
folder, clip = sys.argv[1:]
config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
model = AutoModel.from_pretrained(folder, trust_remote_code=True)
output = model(**extractor([clip], return_tensors="pt"))
found = {
    "config": type(config).__name__,
    "module": type(model).__module__,
    "predictions": {name: values.tolist() for name, values in output.predictions.items()},
    "record": pipeline("vocal-burst-analysis", model=folder, trust_remote_code=True)(clip),
}
print(json.dumps(found))
"""


@pytest.fixture
def open_elsewhere(tmp_path):
    """Opens a saved folder by the Auto classes without paravox, and returns the predictions of a clip."""

    def open_it(folder, clip):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        (elsewhere / "open.py").write_text(OPEN_ELSEWHERE)
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "HF_MODULES_CACHE")
        }
        environment |= {"HF_HOME": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "open.py", str(folder), str(clip)],
            cwd=elsewhere,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        for name, values in found["predictions"].items():
            record = found["record"][name]
            assert (list(record.values()) if isinstance(record, dict) else record) == pytest.approx(values[0])
        return found

    return open_it
