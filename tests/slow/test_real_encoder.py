"""Real weights and recordings: Whisper base in float16, and five vocal bursts."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import WhisperModel

from paravox.modeling.feature_extraction_burst2vec import Burst2VecFeatureExtractor
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

pytestmark = pytest.mark.slow

PREFIX = "model.encoder."


@pytest.fixture(scope="module")
def whisper(shared):
    folder = shared / "encoders" / "whisper-base"
    if not folder.is_dir():
        pytest.skip(f"no real encoder at {folder}")
    return folder


@pytest.fixture(scope="module")
def clips(shared):
    """Five bursts of clearly different length."""
    paths = sorted(
        (shared / "corpora" / "bursts" / "audio").glob("*.ogg"), key=lambda path: (path.stat().st_size, path.name)
    )
    if len(paths) < 5:
        pytest.skip("no real vocal bursts")
    return [str(path) for path in paths[len(paths) // 10 :: len(paths) // 5][:5]]


@pytest.fixture
def model(whisper, tasks):
    return Burst2VecForMultiTask.from_encoder(str(whisper), tasks=tasks, layer_weights=True).eval()


def test_every_encoder_weight_equals_the_file_by_number(whisper, model):
    in_file = load_file(whisper / "model.safetensors")
    state = model.encoder.model.state_dict()
    assert {PREFIX + key for key in state} == {key for key in in_file if key.startswith(PREFIX)}
    for key, value in state.items():
        assert in_file[PREFIX + key].dtype == torch.float16 and value.dtype == torch.float32, key
        assert torch.equal(value, in_file[PREFIX + key].float()), key
    assert sum(value.numel() for value in state.values()) == 20_590_592
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_it_equals_the_stock_encoder_at_30_seconds(whisper, model, clips):
    # Loaded by the stock class, decoder and all, not through the seam.
    stock = WhisperModel.from_pretrained(whisper, dtype=torch.float32).encoder.eval()
    extractor = Burst2VecFeatureExtractor.from_encoder(str(whisper))
    samples = extractor.load(clips[-1])
    features = torch.nn.functional.pad(torch.from_numpy(samples), (0, 480_000 - len(samples))).numpy()
    batch = extractor((features, 16_000), return_tensors="pt")
    assert batch["input_features"].shape == (1, 80, 3000)
    with torch.no_grad():
        expected = stock(batch["input_features"]).last_hidden_state
        found = model.encoder.last_state(batch["input_features"], batch["attention_mask"])
    assert ((found - expected).norm() / expected.norm()).item() < 1e-6


def test_a_padded_batch_of_real_clips_equals_each_alone(whisper, model, clips):
    extractor = Burst2VecFeatureExtractor.from_encoder(str(whisper))
    batch = extractor(clips, return_tensors="pt")
    lengths = batch["attention_mask"].sum(dim=1).tolist()
    assert len(lengths) == 5 and max(lengths) > 1.5 * min(lengths), "clips of one length show nothing"
    with torch.no_grad():
        together = model(**batch).pooled_states  # every layer
        for row, clip in enumerate(clips):
            alone = model(**extractor([clip], return_tensors="pt")).pooled_states[0]
            assert ((together[row] - alone).norm(dim=-1) / alone.norm(dim=-1)).max() < 1e-5, clip
