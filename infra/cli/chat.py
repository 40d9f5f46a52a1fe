"""`llmp chat`: ask the platform something and see how fast it answers."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from infra.cli.context import ContextOption, StackOption, bring_up, require_rights
from infra.errors import ClusterError

_TIMEOUT = httpx.Timeout(connect=5.0, read=120.0, write=10.0, pool=5.0)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(chat)


def chat(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    stack: StackOption = "local",
    context: ContextOption = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="End the answer after so many tokens.")] = 256,
) -> None:
    """Stream an answer through the gateway; time to first token and tokens per second follow it."""
    work = bring_up(stack, context)
    require_rights(work)
    outputs = work.outputs()
    if "gateway_url" not in outputs:
        raise ClusterError(f"the stack {stack} is not up", mend=f"llmp up -s {stack}")
    request = {
        "model": outputs["model"],
        "messages": [{"role": "user", "content": question}],
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    began = time.monotonic()
    first: float | None = None
    tokens = 0
    try:
        for event in _events(str(outputs["gateway_url"]), str(outputs["api_key"]), request):
            if "error" in event:
                raise ClusterError(str(event["error"].get("message")), mend="llmp status")
            for choice in event.get("choices", []):
                if text := choice.get("delta", {}).get("content"):
                    first = first or time.monotonic()
                    sys.stdout.write(text)
                    sys.stdout.flush()
            if event.get("usage"):
                tokens = event["usage"]["completion_tokens"]
    except httpx.HTTPError as error:
        raise ClusterError(
            f"the gateway at {outputs['gateway_url']} does not answer: {type(error).__name__}", mend="llmp status"
        ) from error
    ended = time.monotonic()
    sys.stdout.write("\n")
    if first is not None:
        speed = f", {(tokens - 1) / (ended - first):.1f} tokens/s" if tokens > 1 and ended > first else ""
        Console(stderr=True).print(
            f"time to first token {(first - began) * 1000:.0f} ms, {tokens} tokens{speed}", style="dim", highlight=False
        )


def _events(url: str, key: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The stream's events as they come. Raises ClusterError with the gateway's own message for an error status."""
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(timeout=_TIMEOUT, trust_env=False) as client,
        client.stream("POST", f"{url}/v1/chat/completions", json=request, headers=headers) as answer,
    ):
        if answer.status_code != httpx.codes.OK:
            answer.read()
            try:
                message = answer.json()["error"]["message"]
            except (ValueError, KeyError, TypeError):
                message = answer.text[:200]
            raise ClusterError(f"HTTP {answer.status_code}: {message}", mend="llmp status")
        for line in answer.iter_lines():
            if line.startswith("data: ") and line != "data: [DONE]":
                yield json.loads(line.removeprefix("data: "))
