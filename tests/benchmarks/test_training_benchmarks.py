"""The benchmarks of training run at a tiny size, in the precision that they say, and count operations rightly."""

import sys
from pathlib import Path

import pytest
import torch
from little_corpora import write_clip
from torch.utils.flop_counter import FlopCounterMode

from paravox.modeling.encoders import build_encoder

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def benchmarks_on_the_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])


@pytest.mark.parametrize("name", ["HB", "whisper_base"])
def test_operations_are_those_that_torch_counts(name):
    from training_steps import encoder_config, encoder_operations

    config = encoder_config(name)
    config.num_hidden_layers = config.encoder_layers = 2
    config._attn_implementation = "eager"  # torch does not count its fused attention on the processor
    encoder = build_encoder(config).eval()
    length = 8_000 if name == "HB" else 300
    inputs = torch.zeros(1, length) if name == "HB" else torch.zeros(1, config.num_mel_bins, length)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.last_state(inputs, torch.ones(1, length, dtype=torch.long))
    assert encoder_operations(config, length) == pytest.approx(counter.get_total_flops(), rel=0.005)


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
def test_a_step_is_measured_in_the_precision_of_the_run(bf16):
    import training_steps

    config, seen = training_steps.encoder_config("tiny"), []
    batches = training_steps.make_batches(config, 3, [(0.3, 0.4)])
    step = training_steps.burst2vec_step(config, torch.device("cpu"), bf16, compiled=False)
    handle = torch.nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: seen.append(output.dtype) if isinstance(module, torch.nn.Linear) else None
    )
    step(batches[0])
    handle.remove()
    assert set(seen) == {torch.bfloat16 if bf16 else torch.float32}
    measured = training_steps.measure_training_step(config, batches, "cpu", bf16, repeats=2, warm_up=1)
    assert measured["ratio"] > 0 and measured["clips_per_second"] > 0 and measured["memory_gigabytes"] is None


@pytest.mark.slow
def test_both_recipes_run_from_files(tmp_path):
    import stock_recipe

    for number in range(8):
        write_clip(tmp_path / "clips" / f"{number}.wav", number, seconds=0.3 + 0.05 * number)
    options = ["--data_dir", str(tmp_path / "clips"), "--encoder", "tiny", "--device", "cpu", "--dtype", "float32"]
    measured = stock_recipe.main([*options, "--steps", "4", "--skip", "1", "--batch_size", "4"])
    assert measured["stock"] > 0 and measured["paravox"] > 0
    assert measured["ratio"] == pytest.approx(measured["paravox"] / measured["stock"], abs=0.01)
