"""What requests are sent with: SDKs, browsers, scripts and tools, as popular as they are."""

from __future__ import annotations

from benchmarks.outside.world import Client, World
from benchmarks.real_world import zipf

SYSTEMS = {"Linux": 0.55, "MacOS": 0.25, "Windows": 0.2}
PYTHONS = ("3.8.10", "3.9.18", "3.10.12", "3.11.4", "3.11.9", "3.12.3", "3.13.1")
BROWSERS = (
    "Windows NT 10.0; Win64; x64",
    "Macintosh; Intel Mac OS X 10_15_7",
    "X11; Linux x86_64",
    "iPhone; CPU iPhone OS 18_1 like Mac OS X",
)
SCRIPTS = ("python-requests/2.31.0", "python-requests/2.32.3", "aiohttp/3.9.5", "python-httpx/0.27.0")
TOOLS = ("go-resty/2.11.0", "okhttp/4.12.0", "curl/8.5.0", "n8n", "Make/production", "reqwest/0.12.4", "axios/1.7.2")
KINDS = {"python": 0.4, "node": 0.2, "browser": 0.18, "script": 0.08, "tool": 0.08, "proxy": 0.06}


def client(world: World, kind: str | None = None) -> Client:
    """Draw a client of a kind (python, node, browser, script, tool, proxy), or of any."""
    return _MAKE[kind or world.weighed(KINDS)](world)


def _handshake(world: World, first: int, count: int) -> str:
    """Draw a TLS fingerprint of a family: some are everybody's."""
    return world.handshakes[first + int(world.rng.choice(count, p=zipf(count, 1.1)))]


def _version(world: World) -> str:
    return world.pick(world.versions, zipf(len(world.versions), 0.8))


def _python(world: World) -> Client:
    version, system, python = _version(world), world.weighed(SYSTEMS), world.pick(PYTHONS)
    chip = "x64" if world.chance(0.7) else "arm64"
    made = f"python|{system}|{chip}|CPython {python}|{version}"
    return Client(f"OpenAI/Python {version}", _handshake(world, 0, 10), made)


def _node(world: World) -> Client:
    version, node = _version(world), f"{world.pick((18, 20, 22))}.{world.rng.integers(15)}.0"
    made = f"js|{world.weighed(SYSTEMS)}|x64|node v{node}|{version}"
    return Client(f"OpenAI/JS {version}", _handshake(world, 10, 6), made)


def _browser(world: World) -> Client:
    chrome = f"AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{world.rng.integers(136, 146)}.0.0.0 Safari/537.36"
    return Client(f"Mozilla/5.0 ({world.pick(BROWSERS)}) {chrome}", _handshake(world, 16, 5), None)


def _script(world: World) -> Client:
    return Client(world.pick(SCRIPTS), _handshake(world, 21, 4), None)


def _tool(world: World) -> Client:
    return Client(world.pick(TOOLS), _handshake(world, 25, 9), None)


def _proxy(world: World) -> Client:
    agent = f"litellm/1.{world.rng.integers(40, 99)}.{world.rng.integers(9)}"
    return Client(agent, _handshake(world, 0, 10), None)


_MAKE = {
    "python": _python, "node": _node, "browser": _browser, "script": _script, "tool": _tool, "proxy": _proxy,
}  # fmt: skip
