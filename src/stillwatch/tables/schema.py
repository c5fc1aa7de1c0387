"""Columns of the canonical tables: name, Arrow type, whether required, privacy class, meaning and unit.

Privacy classes: ``id`` (an opaque identifier), ``personal`` (stored only as a keyed hash), ``content`` (text of a
customer; dropped in content-free mode), ``fact`` (everything else).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

Privacy = Literal["id", "personal", "content", "fact"]

TIMESTAMP = pa.timestamp("us", tz="UTC")
TEXT_COLUMNS = ("system_text", "prompt_text", "tools_json", "response_text")
FINGERPRINT_COLUMNS = ("sketch", "template_id", "cues", "capability", "novelty")


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a canonical table: name, Arrow type, meaning and unit, whether required, and privacy class.

    >>> Column("latency_ms", pa.float64(), "milliseconds").privacy
    'fact'
    """

    name: str
    type: pa.DataType
    meaning: str
    required: bool = False
    privacy: Privacy = "fact"


def _table(*columns: Column) -> tuple[pa.Schema, tuple[Column, ...]]:
    fields = [
        pa.field(c.name, c.type, nullable=not c.required, metadata={"meaning": c.meaning, "privacy": c.privacy})
        for c in columns
    ]
    return pa.schema(fields), columns


_str, _int, _float, _bool = pa.string(), pa.int64(), pa.float64(), pa.bool_()

EXCHANGES, EXCHANGE_COLUMNS = _table(
    Column("exchange_id", _str, "one request and its response", required=True, privacy="id"),
    Column("account_id", _str, "the account that asked", required=True, privacy="id"),
    Column("ts", TIMESTAMP, "when the request arrived, UTC", required=True),
    Column("model", _str, "the model asked for", required=True),
    Column("surface", _str, "api, web, batch, cloud:NAME or aggregator:NAME"),
    Column("endpoint", _str, "the path or operation called"),
    Column("status", _int, "HTTP status of the answer"),
    Column("ip", _str, "client address, as a keyed hash", privacy="personal"),
    Column("ip_prefix", _str, "the /24 (IPv4) or /48 (IPv6) of the client"),
    Column("asn", _int, "autonomous system number of the client"),
    Column("network_kind", _str, "hosting, residential, mobile, education, business, proxy or unknown"),
    Column("country", _str, "ISO 3166 alpha-2 of the client's network"),
    Column("user_agent", _str, "User-Agent header"),
    Column("tls_fingerprint", _str, "JA4 of the client's TLS handshake"),
    Column("client_fingerprint", _str, "header order or SDK fingerprint"),
    Column("api_key_id", _str, "an opaque name of the key used", privacy="id"),
    Column("end_user_id", _str, "the customer's own user, as the customer declares it", privacy="id"),
    Column("session_id", _str, "conversation or session", privacy="id"),
    Column("system_text", _str, "system prompt", privacy="content"),
    Column("prompt_text", _str, "the last user message, or all user text of a single-turn request", privacy="content"),
    Column("tools_json", _str, "tool definitions as JSON", privacy="content"),
    Column("response_text", _str, "text of the answer", privacy="content"),
    Column("input_tokens", _int, "tokens"),
    Column("output_tokens", _int, "tokens, reasoning included"),
    Column("reasoning_tokens", _int, "tokens"),
    Column("cached_tokens", _int, "input tokens read from a prompt cache"),
    Column("max_tokens", _int, "the limit that the request set, tokens"),
    Column("temperature", _float, "sampling temperature asked for"),
    Column("n_choices", _int, "answers asked for"),
    Column("logprobs_requested", _bool, "token log-probabilities asked for"),
    Column("modalities", pa.list_(_str), "text, image, audio, file … of the input"),
    Column("stop_reason", _str, "why the answer ended"),
    Column("refused", _bool, "the model refused"),
    Column("latency_ms", _float, "milliseconds"),
    Column("prior_reasoning_id", _str, "opaque reasoning reference replayed in this request", privacy="id"),
    Column("source", _str, "file the row came from"),
    Column("source_line", _int, "line or row of that file, from 1"),
    Column("sketch", pa.list_(pa.uint64()), "sampled hashes of the masked text (signals.fingerprint)"),
    Column("template_id", pa.uint64(), "hash of the masked head and tail of the prompt"),
    Column("cues", pa.list_(pa.uint16()), "ids of the cue rules that hit, ascending"),
    Column("capability", pa.uint8(), "capability class asked for (signals.cues)"),
    Column("novelty", _float, "0 to 1: share of the prompt's sampled hashes new to this run"),
)

ACCOUNTS, ACCOUNT_COLUMNS = _table(
    Column("account_id", _str, "the account", required=True, privacy="id"),
    Column("created_at", TIMESTAMP, "sign-up", required=True),
    Column("closed_at", TIMESTAMP, "closure or ban"),
    Column("org_id", _str, "declared common owner", privacy="id"),
    Column("plan", _str, "free, pro, team, enterprise …"),
    Column("programme", _str, "education, research, startup or none"),
    Column("reseller_id", _str, "the licensed reseller that brought the account", privacy="id"),
    Column("verification", _str, "none, email, phone, identity or organisation"),
    Column("email_domain", _str, "domain of the sign-up address"),
    Column("email_hash", _str, "keyed hash", privacy="personal"),
    Column("phone_hash", _str, "keyed hash", privacy="personal"),
    Column("payment_hash", _str, "keyed hash of the payment instrument", privacy="personal"),
    Column("payment_bin", _str, "first digits of the card: the issuer's range"),
    Column("payment_kind", _str, "card, virtual_card, prepaid, invoice, crypto or none"),
    Column("billing_country", _str, "ISO 3166 alpha-2"),
    Column("device_hash", _str, "keyed hash of the sign-up device", privacy="personal"),
    Column("referral", _str, "referral or campaign code of the sign-up"),
)

LAUNCHES, LAUNCH_COLUMNS = _table(
    Column("model", _str, "the model", required=True),
    Column("released_at", TIMESTAMP, "when it could first be asked", required=True),
)

LABELS_ACCOUNTS, _ = _table(
    Column("account_id", _str, "the account", required=True, privacy="id"),
    Column("population", _str, "ordinary, framework, office … or campaign", required=True),
    Column("campaign_id", _str, "null when innocent"),
)

LABELS_EXCHANGES, _ = _table(
    Column("exchange_id", _str, "the exchange", required=True, privacy="id"),
    Column("campaign_id", _str, "null: the account's own traffic"),
)
