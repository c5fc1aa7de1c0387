"""The whole way with real processes: telemetry in, a campaign found, a plan, a snapshot, a decision at the gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from stillwatch.response.store import State
from stillwatch.service.web import App
from stillwatch.tables import Dataset

from .living import Living, eventually

POLICY = """
name = "at once"
mode = "enforce"
radius = { accounts_share = 1.0, innocents = 1000.0, paying_tokens_share = 1.0 }
timing = { jitter_hours = 0.0 }
[[rules]]
name = "sure: mark"
rung = "tag"
probability_at_least = 0.9
automatic = true
[[rules]]
name = "a person agrees"
rung = "suspend"
probability_at_least = 0.5
"""
Start = Callable[..., Living]


def rows(count: int, first: int = 0) -> bytes:
    """Return canonical exchanges as lines."""
    lines = (
        {"exchange_id": f"e{n}", "account_id": f"a{n % 5}", "ts": "2026-09-01T12:00:00Z", "model": "m"}
        for n in range(first, first + count)
    )
    return b"\n".join(json.dumps(line).encode() for line in lines)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return the service's folder."""
    return tmp_path / "home"


def test_what_is_found_is_decided_at_a_gateway_that_outlives_the_service(
    tiny: Dataset, home: Path, tmp_path: Path, start: Start
) -> None:
    """A dataset is scanned and planned; only the automatic part is in force; ways back work; then serve dies."""
    home.mkdir()
    shutil.copytree(tiny.path, home / "data", ignore=shutil.ignore_patterns("labels"))
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    serve = start("serve", "--home", home, "--policy", policy, "--scan-every", 1)
    trust = home / "signing.pub"
    gateway = start("gateway", "--snapshot", serve.url, "--trust", trust, "--state", tmp_path / "node", "--every", 0.2)
    eventually(lambda: gateway.http.get("/readyz").json()["accounts"], "a measure at the gateway")
    members = pq.read_table(home / "scans" / "latest" / "members.parquet").to_pylist()
    kept = list((home / "fingerprints").glob("*.arrow"))
    assert len(kept) == len(list((home / "data").glob("exchanges/*/*.parquet")))

    def answered() -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for member in members:
            action = gateway.decide(account=member["account_id"], model="any")["decision"]["action"]
            found.setdefault(action, []).append(member["account_id"])
        return found if "tag" in found else {}  # measures begin with the next whole second

    by_action = eventually(answered, "a measure that begins")
    assert set(by_action) <= {"tag", "allow"}
    assert gateway.decide(account="nobody-of-these")["decision"]["action"] == "allow"

    undone, verified, exempt, *others = by_action["tag"]
    unknown = serve.http.post("/v1/undo", json={"account": "nobody-of-these", "why": "typo"})
    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert serve.http.post("/v1/undo", json={"account": undone, "why": "spoke to them"}).json() == {"ended": 1}
    proof = {"account": verified, "kind": "identity", "succeeded": True, "why": "passport seen"}
    assert serve.http.post("/v1/verifications", json=proof).json() == {"ended": 1}
    policy.write_text(f'{POLICY}[[exempt]]\nname = "ours"\nwhy = "our own"\naccounts = ["{exempt}"]\n')
    for account in (undone, verified, exempt):
        eventually(lambda who=account: gateway.decide(account=who)["decision"]["action"] == "allow", "a way back")
    journal = State.open(f"sqlite:///{home / 'state.db'}")
    assert [entry.who for entry in journal.entries()][-1] == "key anyone"
    assert journal.audit() == []
    journal.close()

    serve.kill()
    assert gateway.decide(account=others[0])["decision"]["action"] == "tag"
    eventually(lambda: any("no newer snapshot" in line["message"] for line in gateway.lines()), "a warning")
    gateway.kill()
    again = start("gateway", "--snapshot", serve.url, "--trust", trust, "--state", tmp_path / "node")
    assert again.decide(account=others[0])["decision"]["action"] == "tag"


def test_telemetry_of_every_kind_ends_in_the_dataset_once(home: Path, tmp_path: Path, start: Start) -> None:
    """Pushed, repeated, watched: each exchange is counted once, and bad rows are kept aside."""
    watched = tmp_path / "logs"
    watched.mkdir()
    serve = start(
        "serve", "--home", home, "--watch", watched, "--every", 0.3, "--scan-every", 3_600, "--silent-after", 1
    )
    litellm = {"id": "x1", "model": "m", "startTime": 1767225600.0, "call_type": "completion", "user": "a1"}
    litellm["metadata"] = {"user_api_key_user_id": "a1"}
    span: dict[str, Any] = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "chat m"}
    span |= {"startTimeUnixNano": "1767225600000000000", "endTimeUnixNano": "1767225601000000000"}
    words = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "user.id": "a1"}
    span["attributes"] = [{"key": key, "value": {"stringValue": value}} for key, value in words.items()]
    traces = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    for _ in range(2):
        assert serve.http.post("/v1/exchanges", content=rows(20)).status_code == 200
        assert serve.http.post("/v1/exchanges", content=rows(20, first=10)).status_code == 200
        assert serve.http.post("/v1/litellm", json=[litellm, {"id": "x2"}]).status_code == 200
        assert serve.http.post("/v1/traces", json=traces).status_code == 200
    (watched / "more.jsonl").write_bytes(rows(5, first=100))

    status = eventually(
        lambda: (s := serve.status())["exchanges_added"] == 37 and s, f"37 exchanges in {serve.status()}"
    )
    assert Dataset.open(home / "data").count_exchanges() == 37
    assert status["rows_rejected"] == 1
    assert serve.metric("stillwatch_repeated_deliveries_total") == 4
    assert len(list((home / "data" / "rejects").iterdir())) == 1

    def silent() -> bool:
        return len(serve.status()["silent"]) == 3

    eventually(silent, "an alarm for each source")
    assert serve.metric("stillwatch_source_silent_seconds") > 3
    eventually(lambda: any(line["message"] == "source is silent" for line in serve.lines()), "a log line")
    assert serve.http.post("/v1/exchanges", content=rows(1)).status_code == 200
    assert "/v1/exchanges:anyone" not in serve.status()["silent"]


def test_a_node_fetches_snapshots_with_a_key_and_asks_only_for_what_changed(home: Path, start: Start) -> None:
    """ETag and deltas over HTTP: nothing new costs nothing, an unknown past costs the whole."""
    serve = start("serve", "--home", home, "--refresh", 1)
    eventually(lambda: serve.http.get("/v1/snapshot").status_code == 200, "a first snapshot")
    first = serve.http.get("/v1/snapshot")
    assert serve.http.get("/v1/snapshot", headers={"if-none-match": first.headers["etag"]}).status_code in (200, 304)
    version = int(first.headers["etag"].strip('"').partition("-")[0])
    changed = eventually(
        lambda: (r := serve.http.get("/v1/deltas", params={"since": version})).status_code == 200 and r, "a delta"
    )
    assert changed.content[:8] == b"SWDELT01"
    assert serve.http.get("/v1/deltas", params={"since": 1}).status_code == 410
    assert serve.http.get("/v1/deltas", params={"since": "-1"}).status_code == 400


def test_two_services_never_share_a_folder(home: Path) -> None:
    """The second is told so at once; when the first is gone, the folder is free again."""
    from stillwatch.errors import ConfigError
    from stillwatch.service.serve import ServeSettings, serve_app

    first = serve_app(ServeSettings(home=home))
    with pytest.raises(ConfigError, match="another `stillwatch serve`"):
        serve_app(ServeSettings(home=home))
    asyncio.run(lived(first))
    asyncio.run(lived(serve_app(ServeSettings(home=home))))


def test_a_bad_policy_is_refused_before_anything_starts(home: Path, tmp_path: Path) -> None:
    """An operator sees the line at once, not a service that runs and publishes nothing; a good policy starts."""
    from stillwatch.errors import ConfigError
    from stillwatch.service.planning import PolicyFile
    from stillwatch.service.serve import ServeSettings, serve_app

    policy = tmp_path / "policy.toml"
    policy.write_text('name = "p"\n[[rules]]\nname = "x"\nrung = "ban"\n')
    with pytest.raises(ConfigError, match=r"policy.toml:4: 'ban' is none of the choices"):
        serve_app(ServeSettings(home=home / "new", policy=PolicyFile(policy)))
    assert not (home / "new").exists()
    policy.write_text('name = "p"\n[[rules]]\nname = "x"\nrung = "tag"\n')
    asyncio.run(lived(serve_app(ServeSettings(home=home / "new", policy=PolicyFile(policy)))))


UNTOLD = 'name = "p"\n[[rules]]\nname = "x"\nrung = "cap"\ncap = { max_tokens = 9 }\n  told = false\n'


def test_untold_measures_need_a_signed_policy_for_as_long_as_it_runs(home: Path, tmp_path: Path, start: Start) -> None:
    """Refused with line and column while unsigned; taken when signed; an edit that nobody signed publishes nothing."""
    from typer.testing import CliRunner

    from stillwatch.cli import app
    from stillwatch.response.policy_file import sign_policy
    from stillwatch.response.signing import make_keys

    policy, trusted = tmp_path / "policy.toml", make_keys(tmp_path / "policy.key")
    policy.write_text(UNTOLD)
    given = ["serve", "--home", str(home), "--policy", str(policy)]
    for words in (given, [*given, "--trusted-key", str(trusted)]):
        assert f"{policy}:6:3: what customers feel" in str(CliRunner().invoke(app, words).exception)
    sign_policy(policy, tmp_path / "policy.key")
    serve = start(*given, "--trusted-key", trusted, "--refresh", 1)
    eventually(lambda: serve.http.get("/v1/snapshot").status_code == 200, "a first snapshot")
    assert serve.status()["failures"] == {}
    policy.write_text(UNTOLD.replace("9", "5"))
    eventually(lambda: serve.status()["failures"].get("publish"), "a refusal")
    assert any("policy.toml:6:3: what customers feel" in line["message"] for line in serve.lines())
    sign_policy(policy, tmp_path / "policy.key")
    before = serve.status()["published_at"]
    eventually(lambda: serve.status()["published_at"] > before, "the next snapshot")


async def lived(app: App) -> None:
    """Start an application and end it, as a server does."""
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> dict[str, str]:
        return next(messages)

    async def send(message: object) -> None:
        await asyncio.sleep(0)

    await app({"type": "lifespan"}, receive, send)


def test_nobody_from_outside_is_let_in_without_keys(tmp_path: Path) -> None:
    """Listening beyond this machine needs a key file, and half a TLS setting is an error."""
    from typer.testing import CliRunner

    from stillwatch.cli import app
    from stillwatch.errors import ConfigError

    for wrong in (["--host", "0.0.0.0"], ["--tls-cert", str(Path(__file__))], ["--on-failure", "shrug"]):
        result = CliRunner().invoke(app, ["serve", "--home", str(tmp_path / "home"), *wrong])
        assert isinstance(result.exception, ConfigError)
    assert not (tmp_path / "home").exists()


def test_tls_is_served_when_it_is_configured(home: Path, tmp_path: Path, start: Start) -> None:
    """A certificate and its key are enough; plain HTTP is not answered on that port."""
    import ssl

    certificate, private = certify(tmp_path)
    serve = start("gateway", "--snapshot", home, "--trust", signing_pub(tmp_path), "--tls-cert", certificate,
                  "--tls-key", private)  # fmt: skip
    context = ssl.create_default_context(cafile=str(certificate))
    assert httpx.get(f"{serve.url.replace('http:', 'https:')}/healthz", verify=context).status_code == 200
    with pytest.raises(httpx.HTTPError):
        serve.http.get("/healthz")


def signing_pub(folder: Path) -> Path:
    """Return a public key."""
    from stillwatch.service.signing import find_signer

    find_signer(folder / "signing.pem")
    return folder / "signing.pub"


def certify(folder: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for 127.0.0.1 and its key."""
    import ipaddress
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, SHA256())
    )
    certificate, private = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, private
