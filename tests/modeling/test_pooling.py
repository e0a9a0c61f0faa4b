"""The masked mean against a loop over clips, and layer weights against numpy."""

import numpy as np
import torch

from paravox.modeling.pooling import LayerWeights, masked_mean


def test_the_masked_mean_is_that_of_the_real_frames():
    states = torch.randn(3, 7, 5, generator=torch.Generator().manual_seed(0))
    lengths = [7, 1, 4]
    mask = torch.arange(7) < torch.tensor(lengths).unsqueeze(1)
    expected = np.stack([clip[:length].numpy().mean(axis=0) for clip, length in zip(states, lengths, strict=True)])
    np.testing.assert_allclose(masked_mean(states, mask).numpy(), expected, atol=1e-6)


def test_padding_gets_no_gradient():
    states = torch.ones(1, 4, 2, requires_grad=True)
    masked_mean(states, torch.tensor([[True, True, False, False]])).sum().backward()
    assert states.grad[0, :, 0].tolist() == [0.5, 0.5, 0.0, 0.0]


def test_a_clip_without_a_real_frame_gives_zeros():
    pooled = masked_mean(torch.ones(2, 3, 4), torch.tensor([[True] * 3, [False] * 3]))
    assert pooled[0].tolist() == [1.0] * 4 and pooled[1].tolist() == [0.0] * 4


def test_half_precision_is_summed_in_float32():
    # In bfloat16, 256 + 1 is 256: a running sum would stop growing there.
    states = torch.ones(1, 3000, 1, dtype=torch.bfloat16)
    pooled = masked_mean(states, torch.ones(1, 3000, dtype=torch.bool))
    assert pooled.dtype == torch.float32 and pooled.item() == 1.0
    assert masked_mean(states.double(), torch.ones(1, 3000, dtype=torch.bool)).dtype == torch.float64


def standardised(vectors: np.ndarray) -> np.ndarray:
    return (vectors - vectors.mean(axis=-1, keepdims=True)) / vectors.std(axis=-1, keepdims=True)


def test_layer_weights_are_even_at_the_start():
    pooled = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(1))
    expected = standardised(pooled.numpy()).mean(axis=1)
    np.testing.assert_allclose(LayerWeights(4)(pooled).detach().numpy(), expected, atol=1e-4)


def test_layers_are_weighed_by_the_softmax_of_their_scores():
    pooled = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(2))
    weights = LayerWeights(4)
    weights.scores.data = torch.tensor([0.5, -1.0, 2.0, 0.0])
    scores = np.exp([0.5, -1.0, 2.0, 0.0])
    expected = np.einsum("l,blh->bh", scores / scores.sum(), standardised(pooled.numpy()))
    np.testing.assert_allclose(weights(pooled).detach().numpy(), expected, atol=1e-4)


def test_a_layer_does_not_outweigh_the_others_by_its_scale():
    pooled = torch.randn(2, 4, 32, generator=torch.Generator().manual_seed(3))
    louder = pooled.clone()
    louder[:, 2] *= 100
    torch.testing.assert_close(LayerWeights(4)(louder), LayerWeights(4)(pooled), rtol=0, atol=1e-4)
