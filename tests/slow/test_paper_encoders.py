"""The paper's three encoders at their real size, with random weights: they build, take a step and reload."""

import pytest
import torch
from transformers import AutoModel, HubertConfig, Wav2Vec2Config

from paravox.modeling.configuration_burst2vec import Burst2VecConfig
from paravox.modeling.modeling_burst2vec import Burst2VecForMultiTask

pytestmark = pytest.mark.slow

LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
# As published: facebook/wav2vec2-large-960h, facebook/hubert-base-ls960, facebook/hubert-large-ls960-ft.
ENCODERS = {
    "WL": Wav2Vec2Config(**LARGE, feat_extract_norm="group", do_stable_layer_norm=False),
    "HB": HubertConfig(feat_extract_norm="group", do_stable_layer_norm=False),
    "HL": HubertConfig(**LARGE, feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=True),
}
# The encoders' own, in millions, as their papers give them.
MILLIONS = {"WL": 317, "HB": 95, "HL": 317}


@pytest.mark.parametrize("name", ENCODERS)
def test_it_builds_takes_a_step_and_reloads(name, tasks, make_inputs, labels, tmp_path):
    with torch.random.fork_rng(), torch.device("meta"):
        own = sum(parameter.numel() for parameter in AutoModel.from_config(ENCODERS[name]).parameters())
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Burst2VecForMultiTask(Burst2VecConfig(encoder=ENCODERS[name], tasks=tasks)).train()
        total = sum(parameter.numel() for parameter in model.parameters())
        print(f"{name}: {total:,} parameters, {own:,} of them the encoder's")
        assert sum(parameter.numel() for parameter in model.encoder.parameters()) == own
        assert own / 1e6 == pytest.approx(MILLIONS[name], rel=0.01)
        assert 0 < total - own < 0.02 * own
        before = model.shared_extractor[0].weight.detach().clone()
        model(**make_inputs(seconds=(0.5,) * 6), task="emotion", labels=labels).loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.01).step()
    assert not torch.equal(model.shared_extractor[0].weight, before)
    model.zero_grad()
    model.save_pretrained(tmp_path)
    loaded = Burst2VecForMultiTask.from_pretrained(tmp_path)
    for (key, value), (found_key, found) in zip(model.state_dict().items(), loaded.state_dict().items(), strict=True):
        assert key == found_key and torch.equal(value, found), key
    (tmp_path / "model.safetensors").unlink()  # a gigabyte that pytest would keep for three runs
