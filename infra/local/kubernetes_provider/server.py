"""The provider as the gRPC plugin that the engine starts."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable
from typing import Any

import grpc  # type: ignore[import-untyped]
from pulumi.provider.experimental import provider as protocol
from pulumi.provider.experimental.property_value import PropertyValue
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc, status_pb2

from infra.local.kubernetes_provider.engine import Engine
from infra.local.kubernetes_provider.errors import InitializationError, ProviderError
from infra.local.kubernetes_provider.provider import VERSION, KubernetesProvider

_LARGEST_MESSAGE_BYTES = 400 * 1024 * 1024  # as the engine and the SDK have it
_PARENT_CHECK_SECONDS = 2.0
_GRACE_SECONDS = 4.0  # the engine kills a plugin five seconds after its SIGINT


class Servicer(ProviderServicer):
    """The SDK's servicer, with what version 3.259.0 of it lacks.

    - Errors: it cannot return the protocol's ErrorResourceInitFailed (the object exists but is not ready), and it
      reports every other exception with its Python class name.
    - DiffConfig: it hands a bool to the enumeration `changes` (True would read as DIFF_NONE).
    """

    async def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    async def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().CheckConfig(request, context), context)

    async def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(self._diff_config(request), context)

    async def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Configure(request, context), context)

    async def Invoke(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Invoke(request, context), context)

    async def Construct(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(self._construct(request, context), context)

    async def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Check(request, context), context)

    async def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Diff(request, context), context)

    async def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Create(request, context), context)  # type: ignore[no-untyped-call]

    async def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Read(request, context), context)  # type: ignore[no-untyped-call]

    async def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Update(request, context), context)  # type: ignore[no-untyped-call]

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await _answered(super().Delete(request, context), context)  # type: ignore[no-untyped-call]

    async def _diff_config(self, request: Any) -> Any:
        found = await self._provider.diff_config(
            protocol.DiffRequest(
                request.urn,
                request.id,
                PropertyValue.unmarshal_map(request.olds),
                PropertyValue.unmarshal_map(request.news),
                list(request.ignoreChanges),
            )
        )
        return proto.DiffResponse(
            changes=proto.DiffResponse.DIFF_SOME if found.changes else proto.DiffResponse.DIFF_NONE,
            diffs=found.diffs,
            replaces=found.replaces,
        )


async def _answered(call: Awaitable[Any], context: Any) -> Any:
    try:
        return await call
    except InitializationError as failure:
        await context.abort_with_status(_init_failed_status(failure))
    except ProviderError as error:
        # Not UNKNOWN or INTERNAL: after those the engine assumes that something may have been created, and says so in
        # each later run.
        await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
    except (grpc.aio.AbortError, asyncio.CancelledError):
        raise
    except Exception as error:  # a defect of this provider: the traceback is what its report needs
        await context.abort(grpc.StatusCode.INTERNAL, f"{error!r}\n{traceback.format_exc()}")
    raise AssertionError("abort does not return")


def _init_failed_status(failure: InitializationError) -> grpc.Status:
    detail = provider_pb2.ErrorResourceInitFailed(
        id=failure.resource_id,
        properties=PropertyValue.marshal_map(failure.properties),
        inputs=PropertyValue.marshal_map(failure.inputs),
        reasons=failure.reasons,
    )
    # The engine's gRPC library accepts the details only where their code equals the call's.
    rich = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(failure))
    rich.details.add().Pack(detail)
    status = grpc.Status()
    status.code = grpc.StatusCode.UNKNOWN
    status.details = "resource failed to initialize"
    status.trailing_metadata = (("grpc-status-details-bin", rich.SerializeToString()),)
    return status


def serve(arguments: list[str]) -> None:
    """Serve the engine whose address is the first of `arguments`, until it goes away. The port goes to stdout."""
    parser = argparse.ArgumentParser(prog="pulumi-resource-kubernetes", description="The built-in kubernetes provider.")
    parser.add_argument("engine", help="address of the Pulumi engine")
    known, _ = parser.parse_known_args(arguments)
    asyncio.run(_serve(known.engine, arguments))


async def _serve(engine_address: str, arguments: list[str]) -> None:
    ended = asyncio.Event()
    for ending in (signal.SIGINT, signal.SIGTERM):
        # The engine ends its plugins with SIGINT; a wait still under way must report what exists before that.
        asyncio.get_running_loop().add_signal_handler(ending, ended.set)
    provider = KubernetesProvider(Engine(engine_address))
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", _LARGEST_MESSAGE_BYTES)])
    servicer = Servicer(arguments, VERSION, provider, engine_address=engine_address)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    # An engine that was killed sends no farewell; its plugins must not outlive it.
    parent = os.getppid()
    while os.getppid() == parent and not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), _PARENT_CHECK_SECONDS)
    await provider.cancel()
    await server.stop(_GRACE_SECONDS)
    provider.close()
