"""Runs jobs in this process, in local processes or on a Ray cluster, and hands back their rows as they come."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import torch

from paravox.modeling.errors import ConfigError, did_you_mean, needs_extra

EXECUTORS = ("inline", "processes", "ray")
Job = Any
Rows = list[dict[str, Any]]


def run_jobs(
    function: Callable[[Job], Rows], jobs: list[Job], executor: str, processes: int, threads: int
) -> Iterator[Rows]:
    """Runs a function on every job, in an order that is not fixed.

    Args:
        function (`Callable`): takes a job and returns its rows. Other processes run it, so it must be possible to
            pickle it. An error of one trial should become a row, because an error that is raised ends everything.
        jobs (list): each can be pickled.
        executor (`str`): `inline` (this process), `processes` (local ones) or `ray` (needs the extra `ray`; connects to
            the cluster that RAY_ADDRESS names, or starts one on this machine).
        processes (`int`): how many jobs run at the same time.
        threads (`int`): how many threads each of them has. The last bits of a result depend on it.

    Yields:
        The rows of each job as soon as it is done.

    Raises:
        ConfigError: if the executor is unknown or Ray is not installed.
    """
    if executor not in EXECUTORS:
        raise ConfigError(f"executor {executor!r} is unknown: {did_you_mean(executor, EXECUTORS)}")
    if executor == "ray":
        yield from _run_on_ray(function, jobs, processes, threads)
    elif executor == "processes":
        # Spawned, because a fork would copy the locks of torch's threads.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, context, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            waiting = [pool.submit(function, job) for job in jobs]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    else:
        torch.set_num_threads(threads)
        for job in jobs:
            yield function(job)


def _run_on_ray(function: Callable[[Job], Rows], jobs: list[Job], processes: int, threads: int) -> Iterator[Rows]:
    try:
        import ray
    except ImportError:
        raise ConfigError(f"{needs_extra('executor ray', 'ray', 'ray')}, or use --executor processes") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    # Ray would wait for ever for a node that has enough.
    most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
    if threads > most:
        raise ConfigError(
            f"threads {threads}: no node of the Ray cluster has so many CPUs, the largest has {most:g}: give fewer"
        )

    @ray.remote(num_cpus=threads)
    def remote(job: Job) -> Rows:
        torch.set_num_threads(threads)
        return function(job)

    queue = list(reversed(jobs))
    running = [remote.remote(queue.pop()) for _ in range(min(processes, len(queue)))]
    while running:
        (done,), running = ray.wait(running, num_returns=1)
        if queue:
            running.append(remote.remote(queue.pop()))
        yield ray.get(done)
    ray.shutdown()
