"""The configuration file: refused before anything starts, naming file, key, value and what is allowed."""

import json
import socket
import subprocess
import sys

import pytest

from gateway.gateway_process import REPOSITORY
from services.gateway.config import load_config
from services.gateway.strict_json import ConfigError

MODEL = {"max_model_len": 2048, "upstream": {"dns": "engine.llmp", "port": 8000}}


def load(tmp_path, **changes):
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps({"keys_file": "/keys.json", "models": {"m": MODEL}, **changes}))
    return load_config(path)


def test_the_smallest_file_is_enough(tmp_path):
    config = load(tmp_path)
    assert config.limits.body_bytes == 4 * 1024 * 1024
    assert config.models["m"].upstream.dns == "engine.llmp"


@pytest.mark.parametrize(
    ("changes", "key", "allowed"),
    [
        ({"timeout": {}}, "`timeout`", "did you mean `timeouts`?"),
        ({"timeouts": {"connect": 1}}, "`timeouts.connect`", "did you mean `connect_s`?"),
        ({"timeouts": {"connect_s": 0}}, "`timeouts.connect_s` is 0", "a number and > 0"),
        ({"timeouts": {"connect_s": "2s"}}, "`timeouts.connect_s` is '2s'", "a number and > 0"),
        ({"limits": {"body_bytes": -1}}, "`limits.body_bytes` is -1", "a whole number and >= 1"),
        ({"models": {"m": {**MODEL, "kind": "chats"}}}, "`models.m.kind` is 'chats'", "chat | completion | embedding"),
        ({"models": {"m": {"upstream": {}}}}, "`models.m.max_model_len`", "required"),
        ({"models": {"m": {**MODEL, "upstream": {}}}}, "`models.m.upstream`", "exactly one of"),
        (
            {"models": {"m": {**MODEL, "upstream": {"replicas": ["http://x"]}}}},
            "`models.m.upstream.replicas`",
            "a list",
        ),
        ({"models": {}}, "`models`", "at least one model"),
        ({"models": []}, "`models`", "an object"),
        ({"listen": {"port": 70000}}, "`listen.port` is 70000", "<= 65535"),
        ({"tracing": {"sample_ratio": 2}}, "`tracing.sample_ratio` is 2", "<= 1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(tmp_path, changes, key, allowed):
    with pytest.raises(ConfigError) as refused:
        load(tmp_path, **changes)
    message = str(refused.value)
    assert message.startswith(str(tmp_path / "gateway.json"))
    assert key in message
    assert allowed in message


def run_gateway(path) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        cwd=REPOSITORY,
        env={"LLMP_GATEWAY_CONFIG": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


def test_a_process_with_a_wrong_file_ends_with_2_and_the_reason(tmp_path):
    missing = tmp_path / "none.json"
    done = run_gateway(missing)
    assert done.returncode == 2
    assert str(missing) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_ends_with_2_and_is_named(tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text("[]")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = tmp_path / "gateway.json"
        listen = {"host": "127.0.0.1", "port": port}
        path.write_text(json.dumps({"keys_file": str(keys), "models": {"m": MODEL}, "listen": listen}))
        done = run_gateway(path)
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
