"""Runs the program against a recorder in place of the engine, for rules that hold over all that it declares.

In a preview computed outputs and ids are unknown, as before a first `up`: a recorder that answered more would be blind
to objects that are made inside an `apply`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

SECRET = "1b47061264138c4ac30d75fd1eb44270"  # how the wire marks a secret value, under the key SIGNATURE
SIGNATURE = "4dabf18193072939515e22adb298388d"


@dataclass(frozen=True, slots=True)
class Declared:
    """One object as the program declared it. Numbers are floats; secrets keep their marker."""

    type: str
    name: str
    inputs: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.type.rsplit(":", 1)[-1]


@dataclass(slots=True)
class Recorder(Mocks):
    preview: bool
    declared: list[Declared] = field(default_factory=list)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.declared.append(Declared(args.typ, args.name, args.inputs))
        if self.preview:
            return None, dict(args.inputs)
        metadata = {"name": args.name, **(args.inputs.get("metadata") or {})}
        return f"{args.name}-id", {**args.inputs, "metadata": metadata}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        raise AssertionError(f"the program looks things up ({args.token}): then a first preview cannot work")


def declare(program: Callable[[], None], *, stack: str, preview: bool) -> list[Declared]:
    """Run the program to its end and return what it declared, components left out."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    recorder = Recorder(preview)
    try:
        pulumi.runtime.set_mocks(recorder, project="llmp", stack=stack, preview=preview)
        pulumi.runtime.test(program)()
    finally:
        loop.close()
        asyncio.set_event_loop(None)
    return [each for each in recorder.declared if each.type.startswith("kubernetes:")]
