"""The processes of a program: what the launcher says, and which share of a list is whose."""

import pytest
import torch

from paravox.runs.processes import Processes


def test_what_the_launcher_says(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert Processes.from_environment() == Processes(0, 1, 0, 1)
    for name, value in (("RANK", "5"), ("WORLD_SIZE", "8"), ("LOCAL_RANK", "1"), ("LOCAL_WORLD_SIZE", "4")):
        monkeypatch.setenv(name, value)
    assert Processes.from_environment() == Processes(5, 8, 1, 4)


@pytest.mark.parametrize("items", [0, 1, 5, 12, 13])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_shares_in_order_are_the_whole_list(items, count):
    whole = list(range(items))
    shares = [whole[Processes(rank, count).share(items)] for rank in range(count)]
    assert sum(shares, []) == whole
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_each_process_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    third = Processes(rank=7, count=8, local_rank=3, local_count=4)
    assert third.device(None) == third.device("cuda") == "cuda:3"
    assert third.device("cpu") == "cpu" and third.device("cuda:1") == "cuda:1"
    assert Processes().device(None) is None and Processes().device("cuda") == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert third.device(None) is None


def test_one_process_waits_for_nobody():
    Processes().wait()
    assert not torch.distributed.is_initialized()
