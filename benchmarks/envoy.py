"""What asking Stillwatch adds to a request through a real Envoy: without it, and with each of the three filters.

    python -m benchmarks.envoy [--seconds 3] [--rounds 5] [--connections 4]

The model server is an nginx that answers at once, the node a real `stillwatch gateway`, the configurations those of
`deploy/envoy/`. All variants run at the same time and get load in turns, so that a busy machine slows all alike; the
differences count. Run from the root of the repository: it starts the servers as the tests do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import yaml
from tests.gateways.node import Node
from tests.gateways.processes import Process, free_port, running
from tests.gateways.test_envoy import FLAVOURS, Envoy
from tests.gateways.test_nginx import binary as nginx_binary

PROMPT = "Explain in plain words why rain falls. " * 20
BODY = json.dumps({"model": "large", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 500}).encode()


class Upstream:
    """Where Envoy's configurations say that the model is."""

    def __init__(self, port: int) -> None:
        """Remember the port."""
        self.port = port


def quick_model(folder: Path, port: int) -> Process:
    """Return an nginx that answers every request at once, as a model server would in its dreams."""
    folder.mkdir()
    config = folder / "nginx.conf"
    answer = json.dumps({"object": "chat.completion", "choices": []})
    server = f"listen 127.0.0.1:{port}; default_type application/json; location / {{ return 200 '{answer}'; }}"
    config.write_text(
        "worker_processes 1; pid nginx.pid; error_log stderr; events {}\n"
        f"http {{ access_log off; keepalive_requests 1000000; server {{ {server} }} }}\n"
    )
    command = [nginx_binary(), "-p", folder, "-c", config, "-g", "daemon off;"]
    return Process(command, [port], folder / "nginx.log")


def without_filter(envoy: Envoy, folder: Path) -> Envoy:
    """Take Stillwatch out of an Envoy's configuration."""
    path = Path(envoy.command[envoy.command.index("-c") + 1])
    config = yaml.safe_load(path.read_text())
    manager = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    manager["http_filters"] = [one for one in manager["http_filters"] if one["name"].endswith("router")]
    plain = folder / "plain.yaml"
    plain.write_text(yaml.safe_dump(config))
    envoy.command[envoy.command.index("-c") + 1] = str(plain)
    return envoy


async def load(port: int, account: str, seconds: float, connections: int) -> list[float]:
    """Ask over keep-alive connections, each waiting for its answer; returns the time of each request in ms."""
    head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
    head += f"x-account-id: {account}\r\ncontent-length: {len(BODY)}\r\n\r\n"
    spent: list[float] = []
    end = time.perf_counter() + seconds

    async def asking() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (begun := time.perf_counter()) < end:
            writer.write(head.encode() + BODY)
            answer = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert answer.startswith(b"http/1.1 200"), answer
            await reader.readexactly(int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            spent.append(1000 * (time.perf_counter() - begun))
        writer.close()

    await asyncio.gather(*(asking() for _ in range(connections)))
    return spent


def show(ports: dict[str, int], account: str, options: argparse.Namespace) -> None:
    """Load all variants in turns; print each one's times in all rounds and in its quietest, and what it adds there."""
    rounds: dict[str, list[list[float]]] = {name: [] for name in ports}
    for _ in range(options.rounds):
        for name, port in ports.items():
            rounds[name].append(asyncio.run(load(port, account, options.seconds, options.connections)))
    print(f"account {account!r}, {options.connections} connections, ms: all rounds p50, p99 | quietest p50, p99, added")
    base = quietest(rounds["envoy alone"])
    for name, times in rounds.items():
        p50, p99 = np.percentile(np.concatenate(times), (50, 99))
        calm = quietest(times)
        print(f"  {name:15} {p50:7.2f} {p99:7.2f} | {calm[0]:7.2f} {calm[1]:7.2f}  {calm[0] - base[0]:+7.2f}")


def quietest(rounds: list[list[float]]) -> tuple[float, float]:
    """Return p50 and p99 of the round with the lowest median: neighbours on the machine only ever slow things down."""
    p50, p99 = min(tuple(np.percentile(times, (50, 99))) for times in rounds)
    return float(p50), float(p99)


def main() -> None:
    """Start everything, measure, print."""
    parser = argparse.ArgumentParser(description="Added latency through a real Envoy.")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder, model = Path(name), Upstream(free_port())
        node = Node(folder / "node")
        (folder / "plain").mkdir()
        plain = Envoy("ext_authz_http", folder / "plain", node, model)
        asking = {flavour: Envoy(flavour, folder, node, model) for flavour in FLAVOURS}
        envoys = {"envoy alone": without_filter(plain, folder), **asking}
        for process in (node, quick_model(folder / "model", model.port), *envoys.values()):
            stack.enter_context(running(process))
        ports = {"no gateway": model.port, **{name: envoy.port for name, envoy in envoys.items()}}
        for account in ("innocent", "mixed"):
            show(ports, account, options)


if __name__ == "__main__":
    main()
