"""The machine in words: the accelerator where there is one, otherwise the processor."""

import os

import torch

from paravox.runs import machine


def test_it_names_the_processor_and_its_cores(monkeypatch, tmp_path):
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Analytical Engine\nmodel name\t: another one\n")
    monkeypatch.setattr(machine, "CPU_INFO", info)
    name = f"Analytical Engine, {os.cpu_count()} cores, torch {torch.__version__}"
    assert machine.machine_name() == name
    assert machine.machine_name("mps") == f"mps of {name}"


def test_it_does_without_a_list_of_processors(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "nothing")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert machine.machine_name("cpu").startswith("riscv64, ")


def test_it_names_the_accelerator(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: "Difference Engine")
    assert machine.machine_name(torch.device("cuda", 0)) == f"Difference Engine, torch {torch.__version__}"
