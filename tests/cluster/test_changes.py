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


@pytest.mark.timeout(180)
def test_another_model_length_rolls_engine_and_gateway(work):
    engine = msgspec.structs.replace(work.settings.engine, max_model_len=1024)
    assert preview(work, engine=engine) == {
        ("update", "engine-smollm2"),
        ("replace", "gateway-config"),
        ("update", "gateway"),
    }
