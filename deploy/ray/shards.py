"""Builds shards in tasks on a Ray cluster. Ray schedules and retries; `ebert` does the work.

    python deploy/ray/shards.py OUT TASKS THREADS OPTION...

OUT: output folder that all nodes share, or an address such as s3://bucket/ebert. TASKS: number of tasks per step.
THREADS: cores of a task. OPTION: options of `ebert shards`, such as --corpus /shared/amazon.
`ebert` is on the PATH of all nodes. If it fails, run it again: finished tasks are kept.
"""
import json
import os
import subprocess
import sys

import ray


def main(out, tasks, threads, *options):
    out = out.rstrip("/") if "://" in out else os.path.abspath(out)
    config = f"{out}/ebert.toml"
    subprocess.run(["ebert", "plan", "--out", out, "--tasks", tasks, *options], check=True)
    ray.init()

    # A worker that is lost, or fails, is started again.
    @ray.remote(num_cpus=int(threads), max_retries=8, retry_exceptions=True)
    def work(step, task):
        command = ["ebert", "worker", step, task, "--config", config, "--threads", threads]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    for step in steps(config, tasks):
        ready = [task for task in plan(config, tasks) if task["step"] == step and not task["done"]]
        ray.get([work.remote(step, task["task"]) for task in ready])
        print(f"{step:14} {len(ready)} tasks")


def plan(config, tasks):
    command = ["ebert", "plan", "--config", config, "--tasks", tasks, "--log", "json"]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "task"]


def steps(config, tasks):
    """The steps in their order, in which each comes after those that it needs."""
    return list(dict.fromkeys(task["step"] for task in plan(config, tasks)))


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
