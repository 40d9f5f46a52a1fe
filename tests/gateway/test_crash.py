"""A defect of ours: an honest 500, a place to look for it, and no word of the request."""

import asyncio
import json

from gateway.gateway_process import KEY, KEY_RECORD, chat_body
from services.gateway.app import GatewayApp
from services.gateway.config import Config, Model, Upstream
from services.gateway.health import Health
from services.gateway.keyring import Keyring
from services.gateway.outcome import Outcome, OutcomeClass
from services.gateway.replicas import ReplicaSet
from services.telemetry import Hooks

SECRET = "what the prompt said"


class BrokenRelay:
    async def run(self, *_: object) -> None:
        raise RuntimeError(SECRET)


class Log(list):
    def error(self, name: str, **fields: object) -> None:
        self.append((name, fields))


def test_a_defect_is_a_500_without_traceback_or_text(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([KEY_RECORD.as_json()]))
    models = {"m": Model(max_model_len=1, upstream=Upstream(replicas=("127.0.0.1:1",)))}
    replicas = {"m": ReplicaSet("m", (), 1)}
    finished: list[Outcome] = []
    log, sent = Log(), []

    async def run() -> None:
        app = GatewayApp(
            config=Config(keys_file=str(keys), models=models),
            keyring=Keyring(keys),
            replicas=replicas,
            relay=BrokenRelay(),
            health=Health(replicas.values()),
            finished=finished.append,
            log=log,
        )
        messages = iter([{"type": "http.request", "body": chat_body()}])

        async def receive() -> dict:
            try:
                return next(messages)
            except StopIteration:
                await asyncio.sleep(10)
                raise

        async def send(message: dict) -> None:
            sent.append(message)

        headers = [(b"authorization", f"Bearer {KEY}".encode())]
        scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
        await app(scope, receive, send)

    asyncio.run(run())
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["error"]["code"] == "internal_error"
    assert [outcome.outcome for outcome in finished] == [OutcomeClass.INTERNAL_ERROR]
    ((name, fields),) = log
    assert name == "request.crashed"
    assert "test_crash.py" in fields["at"], "whoever mends it needs the place"
    assert SECRET not in str(sent) + str(log), "an exception's message may quote a prompt"


def test_a_telemetry_hook_that_fails_stops_nobody():
    seen: list[int] = []

    def broken(_: int) -> None:
        raise OSError

    hooks: Hooks[int] = Hooks(broken=broken, sound=seen.append)
    hooks(1)
    assert seen == [1]
    assert hooks.failures == {"broken": 1, "sound": 0}, "a failure to observe must itself be observable"
