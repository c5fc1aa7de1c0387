"""Listening: address, TLS, and the rule that nobody outside this machine is let in without a key."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import socket
from pathlib import Path

import msgspec
import uvicorn

from stillwatch.errors import ConfigError
from stillwatch.service.logs import start_logging
from stillwatch.service.web import App

log = logging.getLogger("stillwatch.service")


class Listen(msgspec.Struct, frozen=True):
    """Where to listen; ``port`` 0 takes a free one, ``certificate`` and ``private_key`` (PEM) switch TLS on."""

    host: str = "127.0.0.1"
    port: int = 8787
    certificate: Path | None = None
    private_key: Path | None = None

    def is_local(self) -> bool:
        """Say whether only this machine can reach the address.

        >>> Listen("localhost").is_local(), Listen("::1").is_local(), Listen("0.0.0.0").is_local()
        (True, True, False)
        """
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def check_listen(listen: Listen, keys: Path | None) -> None:
    """Raise :class:`ConfigError` for an address that needs keys and has none, or half a TLS setting.

    >>> check_listen(Listen("0.0.0.0"), None)
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: 0.0.0.0 can be reached from outside: name a key file with --keys
    """
    if not listen.is_local() and keys is None:
        raise ConfigError(f"{listen.host} can be reached from outside: name a key file with --keys")
    if (listen.certificate is None) != (listen.private_key is None):
        raise ConfigError("TLS needs both --tls-cert and --tls-key")


def run(app: App, listen: Listen) -> None:
    """Serve until the process is told to end; raises :class:`ConfigError` when the address cannot be had."""
    start_logging()
    bound = bind(listen)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=10,
        ssl_certfile=listen.certificate,
        ssl_keyfile=listen.private_key,
    )
    log.info("listening", extra={"host": listen.host, "port": bound.getsockname()[1], "tls": bool(listen.certificate)})
    gc.collect()
    gc.freeze()  # what is loaded by now stays: no later collection need look at it
    with bound, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve([bound]))


def bind(listen: Listen) -> socket.socket:
    """Return a listening socket; raises :class:`ConfigError` when the address cannot be had.

    >>> bind(Listen(port=0)).close()
    """
    try:
        return socket.create_server((listen.host, listen.port), family=_family(listen.host), backlog=2048)
    except OSError as error:
        raise ConfigError(f"cannot listen on {listen.host} port {listen.port}: {error.strerror}") from error


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
