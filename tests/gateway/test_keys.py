"""Keys: made once, kept as a digest, reloaded without a restart."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.conftest import models_at
from gateway.gateway_process import KEY, KEY_RECORD, REPOSITORY, wait_until
from services.gateway.errors import ApiError
from services.gateway.keyring import Keyring
from services.gateway.keys import digest, generate_key
from services.gateway.strict_json import ConfigError


def test_a_new_key_is_long_random_and_only_its_digest_is_kept():
    key, record = generate_key(tenant="acme")
    assert key.startswith("sk-llmp-")
    assert len(key) >= 8 + 43, "256 bits, so that an unsalted digest cannot be searched"
    assert key not in json.dumps(record.as_json())
    assert record.sha256 == digest(key)
    assert generate_key()[0] != key


def test_the_keys_module_needs_nothing_but_the_standard_library():
    code = "import services.gateway.keys, sys; print(*(set(sys.modules) & {'msgspec', 'uvicorn', 'aiohttp', 'orjson'}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "", "infra imports it without the gateway's dependencies"


def test_the_command_line_prints_a_key_and_its_record():
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway.keys", "--tenant", "acme", "--model", "m"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    made = json.loads(done.stdout)
    assert made["record"] == {**made["record"], "tenant": "acme", "models": ["m"], "sha256": digest(made["key"])}


def write_as_the_kubelet_does(folder: Path, version: int, records: list) -> Path:
    """A new folder, then one atomic swap of the link that leads to it."""
    data = folder / f"..v{version}"
    data.mkdir()
    (data / "keys.json").write_text(json.dumps(records))
    link = folder / "..data_tmp"
    link.symlink_to(data.name)
    link.rename(folder / "..data")
    path = folder / "keys.json"
    if not path.is_symlink():
        path.symlink_to("..data/keys.json")
    return path


def test_a_changed_keys_file_counts_without_a_restart(start, engine, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir()
    path = write_as_the_kubelet_does(secret, 1, [KEY_RECORD.as_json()])
    gateway = start(models_at(engine), keys_file=str(path))
    new_key, new_record = generate_key(tenant="late")
    assert gateway.chat(key=new_key).status == 401
    write_as_the_kubelet_does(secret, 2, [new_record.as_json()])
    wait_until(lambda: gateway.chat(key=new_key).status == 200, 3, "a new key must work within seconds")
    assert gateway.chat(key=KEY).status == 401, "a revoked key must stop working within seconds"
    gateway.logged("keys.reloaded")

    (secret / "..v2" / "keys.json").write_text("[{")
    gateway.logged("keys.refused")
    assert gateway.chat(key=new_key).status == 200, "a torn file must not lock everybody out"
    assert gateway.metrics()["llm_gateway_keys_reload_failures_total"] == 1, "but somebody must learn of it"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{}", "a list of key records"),
        ("[", "well-formed JSON"),
        ('[{"id":"a","tenant":"t"}]', "[0]"),
        ('[{"id":"a","tenant":"t","sha256":"xyz"}]', "[0]"),
        ('[{"id":"a","tenant":"t t","sha256":"' + "0" * 64 + '"}]', "[0]"),
        ('[{"id":"a","tenant":"t","sha256":"' + "0" * 64 + '","role":"admin"}]', "role"),
        (json.dumps([KEY_RECORD.as_json()] * 2), "[1].sha256"),
    ],
)
def test_a_keys_file_that_cannot_be_used_is_refused_by_name(tmp_path, content, named):
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        Keyring(path)
    assert str(path) in str(refused.value)
    assert named in str(refused.value)


def test_a_plain_key_in_the_file_is_not_repeated_in_the_error(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text(json.dumps([{"id": "a", "tenant": "t", "sha256": KEY}]))
    with pytest.raises(ConfigError) as refused:
        Keyring(path)
    assert KEY not in str(refused.value), "error messages end in logs"


def test_an_empty_list_revokes_every_key(tmp_path):
    path = tmp_path / "keys.json"
    path.write_text("[]")
    with pytest.raises(ApiError):
        Keyring(path).identify(f"Bearer {KEY}".encode())
