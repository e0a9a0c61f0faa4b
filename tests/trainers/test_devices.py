"""The choice of a device and a precision."""

import pytest
import torch

from paravox.modeling.errors import ConfigError
from paravox.trainers.devices import choose_device, choose_dtype, device_line


def test_a_cpu_computes_in_float32_unless_told_otherwise() -> None:
    cpu = choose_device("cpu")
    assert choose_dtype(None, cpu) == torch.float32
    assert choose_dtype("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_best_device_is_the_default(monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, best: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch, "empty", lambda *sizes, device: None)
    assert choose_device().type == best


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), torch.float32), ((9, 0), torch.bfloat16)])
def test_bfloat16_is_the_default_where_a_gpu_computes_in_it(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_dtype(None, torch.device("cuda")) == expected


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "cpu:x", ""])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device '{name}' cannot be used here"):
        choose_device(name)


def test_an_unknown_precision_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="dtype 'bfloat' .* did you mean 'bfloat16'"):
        choose_dtype("bfloat", torch.device("cpu"))


def test_the_line_names_device_and_precision() -> None:
    assert device_line(torch.device("cpu"), torch.float16) == "running on cpu in float16"
