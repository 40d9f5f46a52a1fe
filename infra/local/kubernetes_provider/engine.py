"""The Pulumi engine's side: where a person sees what this provider is waiting for."""

import sys
from typing import Any

import grpc  # type: ignore[import-untyped]
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc


class Engine:
    """The engine's log. What it does not take goes to standard error instead: progress never fails an operation."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stub: Any = None

    async def status(self, urn: str, message: str) -> None:
        """Show `message` in the resource's row until the next one; it is not kept."""
        await self._send(urn, message, engine_pb2.INFO, ephemeral=True)

    async def warn(self, urn: str, message: str) -> None:
        """A warning on the resource that stays in the output."""
        await self._send(urn, message, engine_pb2.WARNING, ephemeral=False)

    async def _send(self, urn: str, message: str, severity: Any, *, ephemeral: bool) -> None:
        if self._stub is None:
            # Made here, not in __init__: an asynchronous channel belongs to the running event loop.
            self._stub = engine_pb2_grpc.EngineStub(grpc.aio.insecure_channel(self._address))
        request = engine_pb2.LogRequest(severity=severity, message=message, urn=urn, ephemeral=ephemeral)
        try:
            await self._stub.Log(request, timeout=5)
        except grpc.aio.AioRpcError as error:
            # Not to standard output, which belongs to the protocol: the engine reads the port from it.
            sys.stderr.write(f"{urn}: {message} (not logged by the engine: {error.details()})\n")
