"""Read a policy from TOML; what is wrong is said with file, line and a hint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec

from stillwatch.errors import ConfigError
from stillwatch.ingest.places import nearest, parse_toml
from stillwatch.response import policy as values
from stillwatch.response.ladder import LADDER
from stillwatch.response.policy import Policy, Rule, faults
from stillwatch.response.signing import is_signed, private_key, public_key, sign
from stillwatch.response.standing import Cap

Place = tuple[str | int, ...]
_PARTS = re.compile(r"\.([A-Za-z_]\w*)|\[(\d+)\]|\[\.\.\.\]")
_NAMED = re.compile(r"(?:field|value) [`']([^`']*)[`']")
_TYPES: dict[str, type[msgspec.Struct]] = {
    "": Policy,
    "rules": Rule,
    "budget": values.Budget,
    "cap": Cap,
    "approvals": values.Approvals,
    "radius": values.Radius,
    "exempt": values.Exemption,
    "timing": values.Timing,
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "rung": get_args(values.RungLabel),
    "roles": get_args(values.Role),
    "verdicts": get_args(values.Verdict),
    "evidence": get_args(values.Who),
    "mode": ("shadow", "enforce"),
}


def load_policy(path: str | Path, trusted: Path | None = None) -> Policy:
    r"""Read and check a policy file.

    A rule that is felt and not told (``told = false``) is taken only when the file's signature beside it
    (``FILE.sig``) is by ``trusted``, an Ed25519 public key as PEM. Raises :class:`ConfigError` with file, line and a
    hint.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "policy.toml"
    ...     _ = file.write_text('name = "p"\n[[rules]]\nname = "x"\nrung = "rate_limit"\n')
    ...     load_policy(file)
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: ...policy.toml:4: 'rate_limit' is none of the choices; did you mean rate-limit?
    """
    file = Path(path)
    content = _bytes(file)
    given, _ = parse_toml(content, file)
    text = content.decode()
    try:
        policy = msgspec.convert(given, Policy)
    except msgspec.ValidationError as error:
        raise _explained(str(error), file, text) from None
    for place, reason in faults(policy):
        line, column = _spot(text, place)
        raise ConfigError(reason, path=file, line=line, column=column)
    for number, rule in enumerate(policy.rules):
        if not rule.told and LADDER[rule.step].felt and (why := _unsigned(file, content, trusted)):
            line, column = _spot(text, ("rules", number, "told"))
            raise ConfigError(f"what customers feel and are not told of {why}", path=file, line=line, column=column)
    return policy


def signature_file(policy: Path) -> Path:
    """Return where the signature of a policy file is kept.

    >>> signature_file(Path("policy.toml")).name
    'policy.toml.sig'
    """
    return policy.with_name(policy.name + ".sig")


def sign_policy(file: Path, key: Path) -> Path:
    """Sign a policy file with an Ed25519 private key (PEM) and return where the signature is.

    >>> sign_policy(Path("no-such-file"), Path("no-such-key"))
    Traceback (most recent call last):
    stillwatch.errors.ConfigError: no-such-file: cannot be read: No such file or directory
    """
    signature = sign(_bytes(file), private_key(key))
    mark = signature_file(file)
    mark.write_text(signature + "\n", encoding="ascii")
    return mark


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", path=file) from error


def _unsigned(file: Path, content: bytes, trusted: Path | None) -> str | None:
    """Say what lacks of a good signature of a policy file; None when it has one."""
    if trusted is None:
        return "needs a signed policy: name the trusted public key (--trusted-key)"
    mark = signature_file(file)
    if not mark.exists():
        return f"needs a signed policy: {mark.name} is not there (stillwatch policy --sign)"
    signature = mark.read_text(encoding="ascii", errors="replace").strip()
    if not is_signed(content, signature, public_key(trusted)):
        return f"needs a signed policy: {mark.name} is not the trusted key's signature of it"
    return None


def _spot(text: str, place: Place) -> tuple[int, int]:
    """Return line and column, counted from 1, of a key."""
    line = line_of(text, place) or 1
    found = re.search(rf"\b{re.escape(str(place[-1]))}\b", text.splitlines()[line - 1] if text else "")
    return line, found.start() + 1 if found else 1


def _explained(message: str, file: Path, text: str) -> ConfigError:
    """Turn msgspec's message and path into a place in the file and a hint."""
    said, _, where = message.partition(" - at `")
    said = said[0].lower() + said[1:]
    place: Place = tuple(
        name or (int(number) if number else "...") for name, number in _PARTS.findall(where.rstrip("`"))
    )
    named = _NAMED.search(said)
    line = line_of(text, place)
    if not named or "missing required" in said:
        return ConfigError(said, path=file, line=line)
    last = next((part for part in reversed(place) if isinstance(part, str) and part != "..."), "")
    line = line_of(text, (*place, named[1])) or line
    if "unknown field" in said:
        known = [field.name for field in msgspec.structs.fields(_TYPES.get(last, Policy))]
        return ConfigError(f"unknown key {named[1]!r}; {nearest(named[1], known)}", path=file, line=line)
    choices = _CHOICES["rung" if "approvals" in place else last]
    return ConfigError(f"{named[1]!r} is none of the choices; {nearest(named[1], choices)}", path=file, line=line)


def line_of(text: str, place: Place) -> int | None:
    r"""Return the line, from 1, of a path of keys and list numbers in a TOML text, or of the nearest part of it.

    >>> line_of('name = "p"\n[[rules]]\nrung = "tag"\n[[rules]]\nrung = "cap"\n', ("rules", 1, "rung"))
    5
    """
    names = [str(part) for part in place if isinstance(part, str)]
    numbers: list[int] = [part for part in place if isinstance(part, int)]
    if not names:
        return 1
    begin = _header(text, names[0], numbers[0] if numbers else 0)
    lines = text.splitlines()
    for key in reversed(names):
        for number in range(begin, len(lines)):
            if number > begin and lines[number].startswith("[[") and numbers:
                break
            if re.search(rf"^(?!\s*#).*?(?:^|[{{,.\s\"])\"?{re.escape(key)}\"?\s*=", lines[number]):
                return number + 1
    return begin + 1


def _header(text: str, name: str, count: int) -> int:
    """Return the index of the ``count``-th (from 0) header of a table, or of the first line."""
    headers = [i for i, line in enumerate(text.splitlines()) if re.match(rf"\[\[?\s*{re.escape(name)}\b", line)]
    return headers[count] if count < len(headers) else 0


def outline(policy: Policy) -> list[str]:
    r"""Return a policy's rules as lines for a person, in the order in which they are tried.

    >>> print(*outline(Policy(name="p", rules=(Rule(name="watch", rung="tag"),))), sep="\n")
    1. watch: tag, for 30 days
       who: campaign; pool, mixed, closed, successor, reserve
       when: q ≤ 0.1, probability ≥ 0.9, worth ≥ 0, 2 of NET, ID, LIFE, TIME
       begins: when a person agrees
    """
    return [line for number, rule in enumerate(policy.rules, 1) for line in _rule_lines(number, rule)]


def _rule_lines(number: int, rule: Rule) -> list[str]:
    with_these = f", {' and '.join(rule.evidence)} among them" if rule.evidence else ""
    lines = [
        f"{number}. {rule.name}: {rule.rung}, for {rule.lasts.total_seconds() / 86_400:g} days",
        f"   who: {' or '.join(rule.verdicts)}; {', '.join(rule.roles)}",
        f"   when: q ≤ {rule.q_at_most:g}, probability ≥ {rule.probability_at_least:g}, "
        f"worth ≥ {rule.worth_at_least:g}, {rule.evidence_at_least} of NET, ID, LIFE, TIME{with_these}",
        f"   begins: {'by itself' if rule.automatic else 'when a person agrees'}",
    ]
    return lines if rule.told else [*lines, "   NOT TOLD to the customer (the file is signed)"]
