"""A Spark session on two processors and a real S3 server on loopback, each started once a worker."""

from __future__ import annotations

import gc
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from stillwatch.tables.cluster import Cluster, cluster
from stillwatch.tables.objects import ObjectPath

SMALL = {
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",  # two partitions need no plan that adapts
    "spark.sql.codegen.wholeStage": "false",  # compiling costs more than these few rows
    "spark.ui.enabled": "false",
}
KEYS = {"AWS_ACCESS_KEY_ID": "stillwatch", "AWS_SECRET_ACCESS_KEY": "only-on-loopback", "AWS_REGION": "us-east-1"}


def missing(reason: str) -> NoReturn:
    """Skip on a developer's machine; fail where CI says that all must run."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def sockets_of_py4j() -> Iterator[None]:
    """Collect the sockets that PySpark leaves to the garbage collector here, where that is no error."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def spark() -> Iterator[Cluster]:
    """Start Spark in this worker; needs PySpark and Java."""
    if not (os.environ.get("JAVA_HOME") or shutil.which("java")):
        missing("Java is not installed: `make java`, or install Java 17 or 21")
    pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'stillwatch[spark]'")
    with cluster("local[2]", SMALL) as started:
        yield started


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Serve a folder as S3 (each folder in it a bucket); return the folder."""
    server = Path(sys.executable).with_name("nanio")
    if not server.exists():
        missing("nanio is not installed: pip install nanio")
    folder = tmp_path_factory.mktemp("storage")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = {"NANIO_ACCESS_KEY": KEYS["AWS_ACCESS_KEY_ID"], "NANIO_SECRET_KEY": KEYS["AWS_SECRET_ACCESS_KEY"]}
    command = [server, "serve", "--data-dir", folder, "--host", "127.0.0.1", "--port", str(port), "--no-access-log"]
    with (folder.parent / "storage.log").open("wb") as log:
        child = subprocess.Popen(command, env={**os.environ, **keys}, stdout=log, stderr=log)
    environment = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        _await(port, child)
        yield folder
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        child.terminate()
        child.wait(20)


@pytest.fixture
def bucket(storage: Path, request: pytest.FixtureRequest) -> tuple[Path, ObjectPath]:
    """Return a bucket of this test's own: the folder behind it, and its address."""
    name = request.node.name.replace("_", "-")[-60:].strip("-")
    (storage / name).mkdir()
    return storage / name, ObjectPath(name)


def _await(port: int, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail("the S3 server did not start; its output is in storage.log")
