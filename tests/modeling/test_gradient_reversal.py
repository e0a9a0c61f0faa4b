"""The gradient reversal layer: the identity forward, the opposite sign backward."""

import torch
from torch.utils.checkpoint import checkpoint

from paravox.modeling.gradient_reversal import reverse_gradient


def test_values_pass_unchanged():
    values = torch.tensor([[-1.0, 0.0], [2.5, float("inf")]])
    assert torch.equal(reverse_gradient(values), values)


def test_the_gradient_changes_its_sign():
    values = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64, requires_grad=True)
    (reverse_gradient(values) ** 2).sum().backward()
    assert torch.equal(values.grad, torch.tensor([-2.0, 4.0, -6.0], dtype=torch.float64))


def test_twice_is_the_identity():
    values = torch.tensor([1.0, -2.0], requires_grad=True)
    (3 * reverse_gradient(reverse_gradient(values))).sum().backward()
    assert values.grad.tolist() == [3.0, 3.0]


def test_only_what_lies_before_is_reversed():
    before, behind = torch.tensor(2.0, requires_grad=True), torch.tensor(5.0, requires_grad=True)
    (behind * reverse_gradient(before)).backward()
    assert (before.grad.item(), behind.grad.item()) == (-5.0, 2.0)


def test_the_sign_holds_under_checkpointing_and_autocast():
    for use_reentrant in (False, True):
        values = torch.tensor([2.0], requires_grad=True)
        checkpoint(lambda inputs: 3 * reverse_gradient(inputs), values, use_reentrant=use_reentrant).sum().backward()
        assert values.grad.item() == -3.0
    values = torch.ones(1, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = reverse_gradient(values) @ torch.ones(4, 1)
    output.sum().backward()
    assert output.dtype == torch.bfloat16
    assert torch.equal(values.grad, -torch.ones(1, 4))
