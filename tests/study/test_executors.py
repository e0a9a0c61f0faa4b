"""Every job is run once, wherever it runs."""

import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from paravox.modeling.errors import ConfigError
from paravox.study.executors import run_jobs


def describe(job):
    return [{"job": job, "process": os.getpid(), "threads": torch.get_num_threads()}]


@pytest.mark.parametrize(("executor", "processes"), [("inline", 1), ("processes", 1)])
def test_each_job_is_run_once(executor, processes):
    before = torch.get_num_threads()
    try:
        rows = [row for rows in run_jobs(describe, list(range(7)), executor, processes, 3) for row in rows]
    finally:
        torch.set_num_threads(before)
    assert sorted(row["job"] for row in rows) == list(range(7))
    assert {row["threads"] for row in rows} == {3}
    assert (os.getpid() in {row["process"] for row in rows}) == (executor == "inline")


def test_an_unknown_executor():
    with pytest.raises(ConfigError, match="executor 'process' is unknown: did you mean 'processes'"):
        next(run_jobs(describe, [1], "process", 1, 1))


class LittleRay(ModuleType):
    """What the executor asks of Ray, in this process: two nodes that are alive, and a larger one that is lost."""

    def __init__(self):
        super().__init__("ray")
        self.asked = []

    def init(self, **settings):
        self.asked.append("init")

    def nodes(self):
        sizes = ((2.0, True), (4.0, True), (64.0, False))
        return [{"Alive": alive, "Resources": {"CPU": cpus, "memory": 1e9}} for cpus, alive in sizes]

    def remote(self, num_cpus):
        self.asked.append(num_cpus)
        return lambda function: SimpleNamespace(remote=function)

    def wait(self, running, num_returns):
        return running[:1], running[1:]

    def get(self, done):
        return done

    def shutdown(self):
        self.asked.append("shutdown")


@pytest.fixture
def little_ray(monkeypatch):
    ray = LittleRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    return ray


def test_ray_is_asked_for_what_a_job_needs(little_ray):
    before = torch.get_num_threads()
    try:
        rows = [row for rows in run_jobs(describe, list(range(5)), "ray", processes=2, threads=4) for row in rows]
    finally:
        torch.set_num_threads(before)
    assert sorted(row["job"] for row in rows) == list(range(5)) and {row["threads"] for row in rows} == {4}
    assert little_ray.asked == ["init", 4, "shutdown"]


def test_what_no_node_can_meet_is_refused_with_what_there_is(little_ray):
    with pytest.raises(ConfigError, match="threads 5: no node of the Ray cluster has so many CPUs, the largest has 4:"):
        next(run_jobs(describe, [1], "ray", processes=1, threads=5))
    assert 5 not in little_ray.asked


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"executor ray needs ray, .* 'paravox\[ray\]', or use --executor processes"):
        next(run_jobs(describe, [1], "ray", 1, 1))
