"""Every job is run once, wherever it runs."""

import os

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
