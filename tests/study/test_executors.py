"""Every job is run once, wherever it runs."""

import multiprocessing
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from paravox.modeling.errors import ConfigError
from paravox.study import executors
from paravox.study.executors import Workers, run_jobs


def describe(job):
    return [{"job": job, "process": os.getpid(), "threads": torch.get_num_threads()}]


@pytest.mark.parametrize(("executor", "processes"), [("inline", 1), ("processes", 1)])
def test_each_job_is_run_once(executor, processes):
    before = torch.get_num_threads()
    try:
        rows = [row for rows in run_jobs(describe, list(range(7)), Workers(executor, processes, 3)) for row in rows]
    finally:
        torch.set_num_threads(before)
    assert sorted(row["job"] for row in rows) == list(range(7))
    assert {row["threads"] for row in rows} == {3}
    assert (os.getpid() in {row["process"] for row in rows}) == (executor == "inline")


def test_an_unknown_executor():
    with pytest.raises(ConfigError, match="executor 'process' is unknown: did you mean 'processes'"):
        Workers("process")


class LittleRay(ModuleType):
    """What the executor asks of Ray, in this process: two nodes that are alive, and a larger one that is lost."""

    def __init__(self):
        super().__init__("ray")
        self.asked = []

    def init(self, **settings):
        self.asked.append("init")

    def nodes(self):
        sizes = (({"CPU": 2.0, "GPU": 1.0}, True), ({"CPU": 4.0}, True), ({"CPU": 64.0, "GPU": 8.0}, False))
        return [{"Alive": alive, "Resources": {"memory": 1e9} | parts} for parts, alive in sizes]

    def remote(self, num_cpus, num_gpus, max_retries):
        self.asked.append((num_cpus, num_gpus, max_retries > 0))
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


@pytest.mark.parametrize(
    ("workers", "asked", "at_once"),
    [
        (Workers("ray", 2, 4), (4, 0, True), 2),
        # The first node has one CPU for each of two jobs, the second one for each of four.
        (Workers("ray", 0, 1), (1, 0, True), 5),
        # Four jobs could share the one GPU, but its node has two CPUs.
        (Workers("ray", 0, 1, jobs_per_gpu=4), (1, 0.25, True), 2),
        (Workers("ray", 3, 1, jobs_per_gpu=3), (1, 1 / 3, True), 3),
    ],
)
def test_ray_is_asked_for_what_a_job_needs(little_ray, workers, asked, at_once):
    most = []
    wait = little_ray.wait
    little_ray.wait = lambda running, num_returns: most.append(len(running)) or wait(running, num_returns)
    before = torch.get_num_threads()
    try:
        rows = [row for rows in run_jobs(describe, list(range(5)), workers) for row in rows]
    finally:
        torch.set_num_threads(before)
    assert sorted(row["job"] for row in rows) == list(range(5)) and {row["threads"] for row in rows} == {asked[0]}
    assert little_ray.asked == ["init", asked, "shutdown"] and most[0] == at_once


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        (Workers("ray", 1, 5), r"each job needs 5 CPU, and no node .* \(found: 2 CPU, 4 CPU\): give fewer"),
        # There are enough CPUs and a GPU, but not in one node.
        (Workers("ray", 1, 3, 1), r"needs 3 CPU and 1 GPU, and no node .* \(found: 2 CPU and 1 GPU, 4 CPU and 0 GPU\)"),
    ],
)
def test_what_no_node_can_meet_is_refused_with_what_there_is(little_ray, workers, message):
    with pytest.raises(ConfigError, match=message):
        next(run_jobs(describe, [1], workers))
    assert little_ray.asked == ["init", "shutdown"]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"executor ray needs ray, .* 'paravox\[ray\]', or use --executor processes"):
        next(run_jobs(describe, [1], Workers("ray")))


def test_local_processes_take_turns_on_the_gpus(monkeypatch):
    taken = []
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    started = multiprocessing.get_context("spawn").Value("i", 0)
    before = torch.get_num_threads()
    try:
        for _ in range(5):
            executors._start_worker(1, 2, started)
        executors._start_worker(1, 0, started)  # no job needs one
    finally:
        torch.set_num_threads(before)
    assert taken == [0, 1, 0, 1, 0]
