"""What a changed setting would do, and that a second `up` changes nothing."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from infra.local.bring_up import BringUp


def silent(_: str) -> None:
    """Progress that nobody watches."""


def preview(work: BringUp, **sections: object) -> set[tuple[str, str]]:
    stack = work.stack()
    changed = msgspec.structs.replace(stack.settings, **sections)
    return {(change.op, change.name) for change in replace(stack, settings=changed).preview(silent).changes}


def test_without_a_changed_setting_nothing_would_change(work):
    assert preview(work) == set()


def test_more_replicas_change_the_engine_in_place_and_add_its_disruption_budget(work):
    engine = msgspec.structs.replace(work.settings.engine, replicas=2)
    assert preview(work, engine=engine) == {("update", "engine-smollm2"), ("create", "engine-smollm2-budget")}


LONG = "word " * 1200  # about 1,200 tokens: fits 2048, does not fit 1024


@pytest.mark.timeout(600)
def test_another_model_length_rolls_engine_and_gateway_and_rolls_back(work, platform):
    engine = msgspec.structs.replace(work.settings.engine, max_model_len=1024)
    assert preview(work, engine=engine) == {
        ("update", "engine-smollm2"),
        ("replace", "gateway-config"),
        ("update", "gateway"),
    }
    question = {"messages": [{"role": "user", "content": LONG}], "max_tokens": 1}
    assert platform.ask(question).status_code == 200
    stack = work.stack()
    try:
        replace(stack, settings=msgspec.structs.replace(stack.settings, engine=engine)).up(silent)
        assert platform.ask(question).status_code == 400, "the new length is in force"
    finally:
        stack.up(silent)
    assert platform.ask(question).status_code == 200, "and the old one again"
    assert preview(work) == set()
