"""Two runs with one seed draw the same, whatever was drawn before, and the caller's generators are left alone."""

import numpy as np
import torch

from paravox.study import repeatable as module
from paravox.study.repeatable import give_way, repeatable


def draws():
    return torch.rand(3).tolist() + np.random.rand(2).tolist()


def test_draws_inside_depend_on_the_seed_alone():
    torch.manual_seed(0)
    np.random.seed(0)
    expected = draws(), draws()
    seen = []
    torch.manual_seed(0)
    np.random.seed(0)
    outside = [draws()]
    for seed in (5, 5, 6):
        with repeatable(seed, torch.device("cpu")):
            seen.append(draws())
    outside.append(draws())
    assert tuple(outside) == expected
    assert seen[0] == seen[1] != seen[2]


def test_a_device_without_an_equal_kernel_is_said_once_and_then_taken_as_it_is(monkeypatch, capsys):
    monkeypatch.setattr(module, "_demanded", True)
    assert not give_way(RuntimeError("CUDA out of memory"))
    lacking = RuntimeError("nll_loss2d does not have a deterministic implementation, but you set ...")
    assert give_way(lacking) and not give_way(lacking)
    assert capsys.readouterr().err.count("may differ in their last bits (nll_loss2d does not have") == 1


def test_on_cuda_only_kernels_are_taken_that_are_equal_in_every_run(monkeypatch):
    """The settings of torch, which are the same without a GPU."""
    monkeypatch.setattr(module, "_demanded", True)
    for warns in (False, True):
        with module._equal_kernels(torch.device("cuda")):
            assert torch.are_deterministic_algorithms_enabled()
            assert torch.is_deterministic_algorithms_warn_only_enabled() == warns
            assert not torch.utils.deterministic.fill_uninitialized_memory
        assert not torch.are_deterministic_algorithms_enabled()
        assert torch.utils.deterministic.fill_uninitialized_memory
        give_way(RuntimeError("no deterministic implementation"))
    with module._equal_kernels(torch.device("cpu")):
        assert not torch.are_deterministic_algorithms_enabled()
