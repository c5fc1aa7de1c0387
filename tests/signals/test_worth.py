"""Worth to a trainer: percentiles among accounts, never from volume, absent features left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.signals.cues import CAPABILITIES
from stillwatch.signals.frame import Frame
from stillwatch.signals.tasks import Tasks, tasks
from stillwatch.signals.worth import WEIGHTS, Worth, _seen, group_worth, high_value_ids, worth

START = 1_780_000_000_000_000
FrameOf = Callable[..., Frame]
Measured = tuple[Frame, Tasks, Worth]


def exchange(account: str, i: int, text: str, **more: Any) -> dict[str, Any]:
    """Return one exchange in a session of its own."""
    base = {"session_id": f"{account}-{i}", "input_tokens": 100, "output_tokens": 100}
    return {"account_id": account, "ts": START + i, "prompt_text": text, **base, **more}


def population() -> list[dict[str, Any]]:
    """Return a harvester, an account that repeats one prompt, a chat and twenty plain users."""
    rows = []
    for i in range(10):
        grade = f"grade essay {i * 7} on tides by the rubric, show your reasoning step by step before the score"
        rows.append(exchange("harvest", i, grade, output_tokens=900))
        rows.append(exchange("repeats", i, "grade this essay by the rubric, show your reasoning step by step"))
        rows.append(exchange("chats", i, f"and then, what did she say on day {i}", session_id="one"))
        rows += [exchange(f"user{u:02d}", i, f"what is good for supper {i} with {u} guests") for u in range(20)]
    return rows


@pytest.fixture
def measured(frame_of: FrameOf) -> Measured:
    """Measure the worth of a small population."""
    frame = frame_of(population())
    labels = tasks(frame)
    return frame, labels, worth(frame, labels, high_value=high_value_ids())


def of(measured: Measured, account: str) -> tuple[float, dict[str, float]]:
    """Return the pooled worth of one account's exchanges."""
    frame, labels, value = measured
    return group_worth(frame, labels, value, frame.account == frame.account_ids.to_pylist().index(account))


def test_a_harvester_is_worth_more_than_users(measured: Measured) -> None:
    """New, single-turn, long-answer, eliciting requests are near the top of the scale."""
    total, parts = of(measured, "harvest")
    assert total > 0.7
    assert parts["output to input"] > 0.9
    assert parts["elicitation"] > 0.9
    assert of(measured, "user03")[0] < total - 0.2


def test_repeating_one_prompt_is_worth_less(measured: Measured) -> None:
    """The twin: the same words asked ten times over are no curriculum."""
    assert of(measured, "repeats")[1]["novel inputs"] < 0.1
    assert of(measured, "repeats")[0] < of(measured, "harvest")[0]


def test_a_conversation_is_not_single_turns(measured: Measured) -> None:
    """Exchanges of one session count as turns."""
    frame, _, value = measured
    chats = frame.account == frame.account_ids.to_pylist().index("chats")
    assert (value.exchange[chats, 1] == 0).all()
    assert (value.exchange[~chats, 1] == 1).all()


def test_an_agents_steps_are_one_task(frame_of: FrameOf) -> None:
    """The user's words come again with each step on a longer input; the same words on the same input are repetition."""
    rows = population()
    for task in range(4):
        for step in range(5):
            text, more = f"repair the build of service {task}", {"session_id": f"s{task}"}
            rows.append(exchange("agent", 5 * task + step, text, **{**more, "input_tokens": 100 + 300 * step}))
            rows.append(exchange("monitor", 5 * task + step, text, **{**more, "session_id": f"m{task}"}))
    frame = frame_of(rows)
    value = worth(frame, tasks(frame), high_value=high_value_ids())
    names = frame.account_ids.to_pylist()
    agent, monitor = (frame.account == names.index(name) for name in ("agent", "monitor"))
    assert (value.exchange[agent, 0] == 1).all()
    assert (value.exchange[agent, 1] == 1).all()
    assert (value.exchange[monitor, 0] == 1 / 5).all()
    assert (value.exchange[monitor, 1] == 0).all()


def test_what_a_conversation_sends_again_is_not_asked_again(frame_of: FrameOf) -> None:
    """Three turns of 100 new tokens each have the ratio of three single requests of 100 tokens; their twins too."""
    rows = population()
    for turn in range(4):
        text, more = f"and what of day {turn}, tell me all", {"output_tokens": 100}
        rows.append(exchange("talk", turn, text, **more, session_id="talk", input_tokens=100 * (1 + 2 * turn)))
        rows.append(exchange("singly", turn, text, **more, input_tokens=100))
    frame = frame_of(rows)
    value = worth(frame, tasks(frame), high_value=high_value_ids())
    names = frame.account_ids.to_pylist()
    talk, singly = (value.exchange[frame.account == names.index(name), 2].tolist() for name in ("talk", "singly"))
    assert singly == [0.5] * 4
    assert talk == [0.5] + [1 / 3] * 3  # the answer before comes with the question


def test_an_agents_turns_say_nothing_of_single_turns(frame_of: FrameOf) -> None:
    """A session with one exchange of tool use is an agent's; the twin, a conversation, stays one of many turns."""
    rows = population()
    for turn in range(4):
        for who, text in (("agent", "call the tool, use the tool, tool call"), ("talk", "and then she said")):
            more = {"session_id": who, "input_tokens": 100 + turn}
            rows.append(exchange(who, turn, f"{text if turn == 1 else 'go on'} {turn}", **more))
    frame = frame_of(rows)
    value = worth(frame, tasks(frame), high_value=high_value_ids())
    names = frame.account_ids.to_pylist()
    assert np.isnan(value.exchange[frame.account == names.index("agent"), 1]).all()
    assert (value.exchange[frame.account == names.index("talk"), 1] == 0).all()


def test_absent_features_are_left_out_of_the_mean(frame_of: FrameOf) -> None:
    """Without tokens or sessions the worth is the mean of what is there, not of zeros."""
    rows = [{k: v for k, v in row.items() if "tokens" not in k and k != "session_id"} for row in population()]
    frame = frame_of(rows)
    labels = tasks(frame)
    value = worth(frame, labels, high_value=high_value_ids())
    total, parts = of((frame, labels, value), "harvest")
    assert set(parts) == set(WEIGHTS) - {"output to input", "single turns"}
    assert total > 0.6


def test_quiet_accounts_have_no_worth_of_their_own(frame_of: FrameOf) -> None:
    """Three exchanges are too few to rank an account."""
    frame = frame_of([*population(), *[exchange("new", i, "grade this") for i in range(3)]])
    value = worth(frame, tasks(frame), high_value=high_value_ids())
    names = frame.account_ids.to_pylist()
    assert np.isnan(value.account[names.index("new")])
    known = np.delete(value.account, names.index("new"))
    assert ((known >= 0) & (known <= 1)).all()


def test_worth_is_a_scale_where_the_middle_account_is_one_half(measured: Measured) -> None:
    """Percentiles: the mean over ranked accounts is one half."""
    assert np.nanmean(measured[2].account) == pytest.approx(0.5, abs=0.02)


def test_no_exchanges_have_no_worth(measured: Measured) -> None:
    """An empty selection is NaN, not zero."""
    frame, labels, value = measured
    total, parts = group_worth(frame, labels, value, np.zeros(frame.n_exchanges, bool))
    assert np.isnan(total)
    assert parts == {}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 5), min_size=4, max_size=12))
def test_coverage_is_the_expected_number_of_cells_in_eight_draws(cells: list[int]) -> None:
    """Rarefaction against the formula written out, one account at a time."""
    account, cell = np.zeros(len(cells), np.int32), np.array(cells, np.int32)
    wanted = sum(1 - (1 - cells.count(c) / len(cells)) ** 8 for c in set(cells)) / 8
    assert _seen(account, cell, 1)[0] / 8 == pytest.approx(wanted)


def test_high_value_capabilities_are_those_of_the_disclosures() -> None:
    """Reasoning, grading and agentic coding are among them; chat is not."""
    names = {CAPABILITIES[number] for number in high_value_ids()}
    assert any("reason" in name for name in names)
    assert any("grad" in name for name in names)
    assert not any("chat" in name for name in names)
    assert 0 not in high_value_ids()
