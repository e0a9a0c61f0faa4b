"""Runs jobs in this process, in local processes or on a Ray cluster, and hands back their rows as they come."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import torch

from paravox.modeling.errors import ConfigError, did_you_mean, needs_extra

EXECUTORS = ("inline", "processes", "ray")
# How many times Ray starts a job again whose node or process is lost.
RETRIES = 10
Job = Any
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Workers:
    """Who runs jobs.

    Args:
        executor (`str`, *optional*, defaults to `"inline"`): `inline` (this process), `processes` (local ones) or `ray`
            (needs the extra `ray`; connects to the cluster that RAY_ADDRESS names, or starts one on this machine).
        processes (`int`, *optional*, defaults to 1): how many jobs run at the same time. With 0, as many as a Ray
            cluster has room for.
        threads (`int`, *optional*, defaults to 1): how many threads each of them has. On a CPU, the last bits of a
            result depend on it.
        jobs_per_gpu (`int`, *optional*): how many jobs share a GPU. By default none needs one. Local processes are
            spread evenly over all GPUs, and a worker of Ray asks for its share of one.
    """

    executor: str = "inline"
    processes: int = 1
    threads: int = 1
    jobs_per_gpu: int | None = None

    def __post_init__(self) -> None:
        if self.executor not in EXECUTORS:
            raise ConfigError(f"executor {self.executor!r} is unknown: {did_you_mean(self.executor, EXECUTORS)}")


def run_jobs(function: Callable[[Job], Rows], jobs: list[Job], workers: Workers) -> Iterator[Rows]:
    """Runs a function on every job, in an order that is not fixed.

    Args:
        function (`Callable`): takes a job and returns its rows. Other processes run it, so it must be possible to
            pickle it. An error of one trial should become a row, because an error that is raised ends everything.
        jobs (list): each can be pickled.
        workers ([`Workers`]): who runs them.

    Yields:
        The rows of each job as soon as it is done.

    Raises:
        ConfigError: if Ray is not installed or no node of its cluster has what a job needs.
    """
    if workers.executor == "ray":
        yield from _run_on_ray(function, jobs, workers)
    elif workers.executor == "processes":
        # Spawned, because a fork would copy the locks of torch's threads and the state of a GPU.
        context = multiprocessing.get_context("spawn")
        gpus = torch.cuda.device_count() if workers.jobs_per_gpu else 0
        setting = (workers.threads, gpus, context.Value("i", 0))
        with ProcessPoolExecutor(workers.processes, context, initializer=_start_worker, initargs=setting) as pool:
            waiting = [pool.submit(function, job) for job in jobs]
            try:
                for done in as_completed(waiting):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
    else:
        torch.set_num_threads(workers.threads)
        for job in jobs:
            yield function(job)


def _start_worker(threads: int, gpus: int, started: Any) -> None:
    """Prepares a local process: the first one takes the first GPU, the second one the second GPU, and so on."""
    torch.set_num_threads(threads)
    if gpus:
        with started.get_lock():
            number = started.value
            started.value += 1
        torch.cuda.set_device(number % gpus)


def _run_on_ray(function: Callable[[Job], Rows], jobs: list[Job], workers: Workers) -> Iterator[Rows]:
    try:
        import ray
    except ImportError:
        raise ConfigError(f"{needs_extra('executor ray', 'ray', 'ray')}, or use --executor processes") from None
    ray.init(ignore_reinit_error=True, log_to_driver=False)
    try:
        needs = {"CPU": float(workers.threads)}
        if workers.jobs_per_gpu:
            needs["GPU"] = 1 / workers.jobs_per_gpu
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        _refuse_what_no_node_has(needs, nodes)
        room = sum(int(min(node.get(name, 0) / needed + 1e-6 for name, needed in needs.items())) for node in nodes)

        # Where a node is lost, Ray runs its unfinished jobs again. What is done is already in this process.
        @ray.remote(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=RETRIES)
        def remote(job: Job) -> Rows:
            torch.set_num_threads(workers.threads)
            return function(job)

        queue = list(reversed(jobs))
        running = [remote.remote(queue.pop()) for _ in range(min(workers.processes or room, len(queue)))]
        while running:
            (done,), running = ray.wait(running, num_returns=1)
            if queue:
                running.append(remote.remote(queue.pop()))
            yield ray.get(done)
    finally:
        ray.shutdown()


def _refuse_what_no_node_has(needs: dict[str, float], nodes: list[dict[str, float]]) -> None:
    """Raises [`ConfigError`] where Ray would wait for ever for a node that has enough."""
    if any(all(node.get(name, 0) >= needed for name, needed in needs.items()) for node in nodes):
        return
    asked = " and ".join(f"{needed:g} {name}" for name, needed in needs.items())
    found = ", ".join(sorted({" and ".join(f"{node.get(name, 0):g} {name}" for name in needs) for node in nodes}))
    raise ConfigError(
        f"each job needs {asked}, and no node of the Ray cluster has as much (found: {found or 'no node'}): give fewer "
        "threads, another device, or start a larger node"
    )
