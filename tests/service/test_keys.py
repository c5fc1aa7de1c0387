"""API keys: hashed, scoped, revocable, paced."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from stillwatch.cli import app
from stillwatch.errors import ConfigError
from stillwatch.service.keys import SCOPES, Door, create_key, read_keys, revoke_key
from stillwatch.service.web import Problem

NOW = datetime(2026, 9, 1, tzinfo=UTC)


def refused(door: Door, presented: str | None, scope: str) -> int:
    """Return the status that a caller gets who is not let in."""
    with pytest.raises(Problem) as error:
        door.admit(presented, scope)
    return error.value.answer.status


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Return where the key file will be."""
    return tmp_path / "keys.json"


def test_a_key_may_do_what_its_scopes_say_and_no_more(keys: Path) -> None:
    """Each scope is its own door; admin opens all."""
    key, admin = create_key(keys, ["decide"], now=NOW), create_key(keys, ["admin"], now=NOW)
    door = Door(keys)
    assert door.admit(key, "decide") == key.split("_")[1]
    assert [refused(door, key, scope) for scope in SCOPES if scope != "decide"] == [403] * 4
    assert all(door.admit(admin, scope) for scope in SCOPES)


def test_who_has_no_good_key_is_not_let_in(keys: Path) -> None:
    """No key, half a key, another secret, another id, nonsense."""
    key = create_key(keys, ["decide"], now=NOW)
    name = key.split("_")[1]
    door = Door(keys)
    for wrong in (
        None,
        "",
        "swk_",
        f"swk_{name}",
        f"swk_{name}_",
        f"{key}0",
        key[:-1],
        f"swk_x_{key[-64:]}",
        "ü\ud800",
    ):
        assert refused(door, wrong, "decide") == 401


def test_a_key_file_holds_no_secret_and_only_its_owner_may_read_it(keys: Path) -> None:
    """Who steals the file cannot use it."""
    secret = create_key(keys, ["ingest"], note="collector", now=NOW).split("_")[2]
    assert secret not in keys.read_text()
    assert keys.stat().st_mode & 0o777 == 0o600


def test_a_revoked_key_is_refused_without_a_restart(keys: Path) -> None:
    """The file is read again within seconds; the other keys go on."""
    seconds = [0.0]
    gone, stays = (create_key(keys, ["decide"], now=NOW) for _ in range(2))
    door = Door(keys, clock=lambda: seconds[0])
    assert door.admit(gone, "decide")
    revoke_key(keys, gone.split("_")[1], now=NOW)
    seconds[0] = 3.0
    assert refused(door, gone, "decide") == 401
    assert door.admit(stays, "decide")


def test_a_key_file_that_breaks_leaves_the_keys_as_they_were(keys: Path) -> None:
    """A slip of an editor locks nobody out; at the start it is an error."""
    seconds = [0.0]
    key = create_key(keys, ["decide"], now=NOW)
    door = Door(keys, clock=lambda: seconds[0])
    keys.write_text("{")
    seconds[0] = 3.0
    assert door.admit(key, "decide")
    with pytest.raises(ConfigError, match="not a key file"):
        read_keys(keys)
    with pytest.raises(ConfigError, match="not a key file"):
        Door(keys)


def test_each_key_is_paced_by_itself(keys: Path) -> None:
    """One who asks too fast waits; another does not; time heals."""
    seconds = [0.0]
    fast, slow = (create_key(keys, ["decide"], now=NOW) for _ in range(2))
    door = Door(keys, per_second=1.0, clock=lambda: seconds[0])
    for _ in range(2):
        door.admit(fast, "decide")
    assert refused(door, fast, "decide") == 429
    assert door.admit(slow, "decide")
    seconds[0] = 1.0
    assert door.admit(fast, "decide")


def test_the_command_makes_lists_and_revokes_keys(keys: Path) -> None:
    """A key is printed once, when it is made."""
    run = CliRunner().invoke
    made = run(app, ["key", "create", "--keys", str(keys), "--scope", "read", "--note", "grafana"]).stdout.strip()
    name = made.split("_")[1]
    assert made.startswith("swk_")
    assert run(app, ["key", "revoke", "--keys", str(keys), "--id", name]).exit_code == 0
    listed = run(app, ["key", "list", "--keys", str(keys)]).stdout
    assert all(word in listed for word in (name, "read", "grafana", "revoked"))
    assert made.split("_")[2] not in listed
    for wrong in (["create"], ["create", "--scope", "everything"], ["revoke"], ["destroy"]):
        assert isinstance(run(app, ["key", *wrong, "--keys", str(keys)]).exception, ConfigError)
