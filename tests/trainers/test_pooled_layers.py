"""Layers pooled over time: against NumPy on each clip alone."""

import numpy as np
import torch

from paravox.trainers.pooled_layers import layer_moments, pool_layers, run_all_layers


def test_moments_are_those_of_the_real_frames():
    generator = torch.Generator().manual_seed(0)
    # Large means beside small variances, where the mean of squares would lose the variance.
    layers = [1000.0 + torch.randn(3, 7, 5, generator=generator) for _ in range(2)]
    frames = [7, 4, 1]
    mask = torch.arange(7) < torch.tensor(frames).unsqueeze(1)
    moments, means = layer_moments(layers, mask), pool_layers(layers, mask)
    assert moments.shape == (3, 2, 2, 5)
    for clip, real in enumerate(frames):
        for number, layer in enumerate(layers):
            values = layer[clip, :real].double().numpy()
            np.testing.assert_allclose(moments[clip, number, 0], values.mean(axis=0), rtol=1e-6)
            np.testing.assert_allclose(moments[clip, number, 1], values.var(axis=0), atol=1e-3)
            np.testing.assert_allclose(means[clip, number], values.mean(axis=0), rtol=1e-6)


def test_the_moments_of_half_precision_are_float32(encoders, make_inputs):
    encoder = encoders["whisper"].to(torch.bfloat16)
    layers, mask = run_all_layers(encoder, make_inputs("whisper", (0.3, 0.2)))
    assert len(layers) == 3 and layers[0].dtype == torch.bfloat16
    moments = layer_moments(layers, mask)
    assert moments.dtype == torch.float32 and moments.isfinite().all()
    assert mask.sum(dim=1).tolist() == [15, 10]
