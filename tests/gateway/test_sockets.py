"""What the kernel is told about our connections."""

import asyncio
import socket

import uvloop

from gateway.engine_double import EngineDouble
from services.gateway.config import Limits, Listener, Timeouts
from services.gateway.engine_client import EngineClient
from services.gateway.listener import ListeningServer
from services.gateway.replicas import Replica


def nodelay(transport) -> int:
    return transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_nagle_is_off_towards_clients_and_towards_engines(engine: EngineDouble):
    async def run() -> tuple[int, int]:
        towards_clients = []

        async def app(scope, _receive, send) -> None:
            towards_clients.append(nodelay(scope["extensions"]["llmp.transport"]))
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body", "body": b""})

        server = ListeningServer(Listener(host="127.0.0.1", port=0), app, Limits(), Timeouts())
        serving = asyncio.create_task(server.run_until_told())
        engines = EngineClient(Timeouts())
        answer = await engines.ask(Replica(server.address, ("/x",)), "/x", {}, b"{}")
        await answer.read_all()
        answer.close()
        stalled = Replica(engine.address, ("/x",))
        answer = await engines.ask(stalled, "/x", {"x-request-id": "nodelay"}, b'{"script":[["head"],["sleep",5]]}')
        towards_engine = nodelay(answer._response.connection.transport)
        answer.close()
        await engines.close()
        server.should_exit = True
        await serving
        return towards_clients[0], towards_engine

    assert uvloop.run(run()) == (1, 1), "Nagle and delayed acknowledgements together cost 40 ms a chunk"
