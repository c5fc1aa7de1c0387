"""What a policy may say, what it may not, and that errors point at the line."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.cases.folder import Campaign
from stillwatch.errors import ConfigError
from stillwatch.response import policy as values
from stillwatch.response.ladder import HIGHEST_AUTOMATIC, LADDER, Rung
from stillwatch.response.policy import Customer, Exemption, Policy, Rule, exemption, faults
from stillwatch.response.policy_file import load_policy, outline, signature_file
from stillwatch.response.signing import make_keys, private_key, sign

from .conftest import campaign_record

SHIPPED = Path(__file__).parents[2] / "examples" / "policy.toml"
QUIET = '[[rules]]\nname = "quiet cap"\nrung = "cap"\ncap = { max_tokens = 500 }\ntold = false\n'


def written(folder: Path, text: str) -> Path:
    """Write a policy file."""
    file = folder / "policy.toml"
    file.write_text(text)
    return file


def campaign(**changes: object) -> Campaign:
    """Return a campaign of which the scan is sure, with changes."""
    return msgspec.convert(campaign_record(**changes), Campaign)  # type: ignore[arg-type]


def test_the_shipped_policy_is_in_shadow_mode() -> None:
    """Whoever starts with the default touches nobody."""
    shipped = load_policy(SHIPPED)
    assert shipped.mode == "shadow"
    assert len(shipped.rules) == 4
    assert "1. sure" in outline(shipped)[0]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("jitter_hours = 6 ", 'jitter_hours = "x" ', ":9: expected `float`, got `str`"),
        ("jitter_hours = 6 ", "jiter_hours = 6 ", ":9: unknown key 'jiter_hours'; did you mean jitter_hours?"),
        ('rung = "tag"', 'rung = "ban"', ":63: 'ban' is none of the choices; known: observe, tag"),
        ('rung = "tag"', 'rung = "suspend"', ":66:1: suspend never begins without a person"),
        ("automatic = true\nlasts", "lasts", None),
        ("budget = {", "# budget = {", ":52:1: a rate-limit needs a budget"),
        ("tokens_per_minute = 2000", "tokens_per_minute = -1", ":59: expected `float` > 0.0"),
        ('mode = "shadow"', 'mode = "enforce"', ":25:1: nobody under [people] holds the role 'responder'"),
        ("two_persons_above = 10", "two_persons_above = 1000", ":22: expected `int` <= 25"),
        (
            '"pool", "successor"',
            '"pool", "succesor"',
            ":45: 'succesor' is none of the choices; did you mean successor?",
        ),
        ("suspend = [", "suspnd = [", ":26: 'suspnd' is none of the choices; did you mean suspend?"),
        ("lasts_days = 14", "lasts_days = 3650", ":50: expected `float` <= 90.0"),
        ("burst = 20000", "burst = inf", ":59: expected `float` <= 1000000000000.0"),
        ("innocents = 5.0", "innocents = inf", ":14: expected `float` <= 1000000000000.0"),
        ('why = "terms allow studies that ask one template thousands of times"', 'why = ""', ":36: expected `str` of"),
        ("accounts = []", 'accounts = ["ann@b.example"]', ":37:1: the logs hold 'ann@b.example' under a keyed hash"),
        ("accounts = []", 'accounts = ["hmac-sha256:1a2b3c4d:00ff", "team-7"]', None),
    ],
)
def test_an_error_points_at_the_line_and_helps(tmp_path: Path, before: str, after: str, message: str | None) -> None:
    """File, line, what is wrong, and what was meant; the twin without a message is a good change."""
    text = SHIPPED.read_text()
    assert before in text
    file = written(tmp_path, text.replace(before, after, 1))
    if message is None:
        load_policy(file)
        return
    with pytest.raises(ConfigError) as caught:
        load_policy(file)
    assert f"policy.toml{message}" in str(caught.value)


def test_what_is_felt_and_not_told_needs_a_signed_policy(tmp_path: Path) -> None:
    """Refused without a key, without a signature, with another's signature and after an edit; taken when signed."""
    file = written(tmp_path, 'name = "p"\n' + QUIET)
    trusted, other = make_keys(tmp_path / "ours"), make_keys(tmp_path / "theirs")
    with pytest.raises(ConfigError, match=r":6:1: .*needs a signed policy: name the trusted"):
        load_policy(file)
    with pytest.raises(ConfigError, match="is not there"):
        load_policy(file, trusted)
    signature_file(file).write_text(sign(file.read_bytes(), private_key(tmp_path / "theirs")))
    with pytest.raises(ConfigError, match="not the trusted key"):
        load_policy(file, trusted)
    assert load_policy(file, other).rules[0].told is False
    file.write_text(file.read_text().replace("500", "5"))
    with pytest.raises(ConfigError, match="not the trusted key"):
        load_policy(file, other)


def test_what_is_told_needs_no_signature(tmp_path: Path) -> None:
    """The innocent twin: the same cap, told to the customer."""
    assert load_policy(written(tmp_path, 'name = "p"\n' + QUIET.replace("false", "true"))).rules[0].told


VERDICTS = st.sampled_from([("campaign",), ("needs_person",), ("campaign", "needs_person")])
RUNGS = st.sampled_from([rung.label for rung in Rung])


@settings(deadline=None)
@given(st.builds(Rule, name=st.just("r"), rung=RUNGS, automatic=st.booleans(), verdicts=VERDICTS))
def test_nothing_above_the_rate_limit_can_be_automatic(rule: Rule) -> None:
    """Whatever a rule says; nor can a group that a person must judge."""
    wrong = [path for path, _ in faults(Policy(name="p", rules=(rule,))) if path[-1] == "automatic"]
    too_much = rule.step > HIGHEST_AUTOMATIC or "needs_person" in rule.verdicts
    assert bool(wrong) == (rule.automatic and too_much)


def test_the_first_rule_that_holds_decides() -> None:
    """As in a packet filter: order is precedence."""
    rules = (Rule(name="a", rung="tag", probability_at_least=0.99), Rule(name="b", rung="observe"))
    both = Policy(name="p", rules=rules)
    sure, likely = both.rule_for(campaign(), 0.999, "pool"), both.rule_for(campaign(), 0.95, "pool")
    assert sure is not None
    assert likely is not None
    assert (sure.name, likely.name) == ("a", "b")


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ({"q_at_most": 0.01}, {"q_value": 0.05}),
        ({"q_at_most": 0.01}, {"q_value": None}),
        ({"probability_at_least": 0.9999}, {}),
        ({"worth_at_least": 0.5}, {}),
        ({"evidence": ("NET",), "strength_at_least": 0.9}, {}),
        ({"roles": ("mixed",)}, {}),
        ({}, {"verdict": "needs_person"}),
        ({}, {"axes": [{"axis": "NET", "strength": 0.9}, {"axis": "WORTH", "effect": 0.3}]}),
        ({}, {"axes": [{"axis": name, "strength": 0.9} for name in ("NET", "ID", "LIFE", "TIME")]}),
    ],
)
def test_every_condition_of_a_rule_can_fail(rule: dict[str, object], changes: dict[str, object]) -> None:
    """The rule holds for the sure campaign, and not when one thing is missing; missing evidence never counts."""
    assert Rule(name="r", rung="tag").holds(campaign(), 0.999, "pool")
    one = msgspec.convert({"name": "r", "rung": "tag", **rule}, Rule)
    assert not one.holds(campaign(**changes), 0.999, "pool")


def test_an_exemption_covers_accounts_organisations_programmes_and_resellers_until_its_date() -> None:
    """Each of the four is enough; a stranger is not covered; after the date nobody is."""
    one = Exemption(
        name="lab", why="contract", accounts=frozenset({"a"}), organisations=frozenset({"o"}),
        programmes=frozenset({"research"}), resellers=frozenset({"r"}), until=date(2026, 9, 30),
    )  # fmt: skip
    given_policy, day = Policy(name="p", exempt=(one,)), datetime(2026, 9, 30, 23, 59)
    asked = [
        ("a", Customer()), ("b", Customer(organisation="o")), ("b", Customer(programme="research")),
        ("b", Customer(reseller="r")), ("b", Customer()),
    ]  # fmt: skip
    assert [bool(exemption(given_policy, *who, day)) for who in asked] == [True, True, True, True, False]
    assert exemption(given_policy, "a", Customer(), datetime(2026, 10, 1)) is None


def test_suspending_many_accounts_needs_two_persons_whatever_the_policy_says() -> None:
    """One responder is enough for ten accounts, two are needed for eleven."""
    lax = values.Approvals(roles={"suspend": ("responder",)})
    assert lax.needed(Rung.SUSPEND, 10) == ("responder",)
    assert lax.needed(Rung.SUSPEND, 11) == ("responder", "responder")


def test_every_rung_that_is_felt_has_a_cost_an_end_and_a_way_back() -> None:
    """And nothing lasts for ever: ninety days are the most a rule can say."""
    for step in LADDER.values():
        assert step.cost
        assert step.way_back
        assert step.lasts.days <= 90
        assert ("appeal" in step.way_back) == step.felt
    assert not any(step.felt for step in LADDER.values() if step.rung <= Rung.TAG)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            'rung = "cap"\ncap = { max_tokens = 500, no_logprob = true }',
            "unknown key 'no_logprob'; did you mean no_logprobs?",
        ),
        ('rung = "cap"\ncap = { max_tokens = 0 }', "expected `int` >= 1"),
        ('rung = "cap"\ncap = {}', "a cap that holds nothing back"),
        ('rung = "delay"\ndelay_ms = [0, 86_400_000]', "expected `int` <= 60000"),
    ],
)
def test_a_mild_measure_is_neither_nothing_nor_a_ban_in_disguise(tmp_path: Path, rule: str, message: str) -> None:
    """What a cap holds back is spelt right and leaves an answer; a delay is one that a client waits for."""
    with pytest.raises(ConfigError) as caught:
        load_policy(written(tmp_path, f'name = "p"\n[[rules]]\nname = "x"\n{rule}\n'))
    assert "policy.toml:5" in str(caught.value)
    assert message in str(caught.value)
