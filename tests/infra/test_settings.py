"""A wrong stack file is refused before anything starts, and the message says where, what and how to mend it."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.errors import ConfigurationError
from infra.settings import Settings, parse, read_stack_file
from services.engine.deploy import model_spec
from services.engine.model import InvalidModelError

REPOSITORY = Path(__file__).parents[2]


def refused(config: dict[str, object]) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        parse({"llmp:environment": "local", **config}, where="Pulumi.local.yaml")
    return caught.value


def test_every_stack_file_of_the_repository_is_accepted():
    files = sorted(REPOSITORY.glob("Pulumi.*.yaml"))
    assert files, "there is at least the local stack"
    for file in files:
        assert isinstance(read_stack_file(file), Settings)


def test_a_misspelt_key_names_the_nearest():
    error = refused({"llmp:engine": {"replica": 2}})
    assert "llmp:engine.replica = 2" in str(error)
    assert "did you mean replicas?" in str(error)


def test_a_misspelt_section_names_the_nearest():
    assert "did you mean gateway?" in str(refused({"llmp:gatway": {}}))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("engine", "replicas", -1),
        ("engine", "maxModelLen", "2048"),
        ("engine", "kvCacheGib", 0),
        ("gateway", "drainSeconds", 1.5),
        ("cache", "volumeGib", None),
        ("monitoring", "retentionDays", True),
    ],
)
def test_a_wrong_type_or_size_names_key_and_value(section, key, value):
    error = refused({f"llmp:{section}": {key: value}})
    assert error.key == f"llmp:{section}.{key}"
    assert error.value == value
    assert error.where == "Pulumi.local.yaml"


def test_an_unknown_environment_names_those_that_exist():
    error = refused({"llmp:environment": "prd"})
    assert "local" in error.allowed


def test_ports_that_collide_are_refused():
    assert "port of its own" in str(refused({"llmp:cluster": {"ports": {"gateway": 9090}}}))


def test_retention_that_fills_its_volume_is_refused():
    assert "write-ahead log" in str(refused({"llmp:monitoring": {"retentionGib": 4, "volumeGib": 4}}))


def test_a_timeout_that_can_never_be_reached_is_refused():
    assert "never be reached" in str(refused({"llmp:gateway": {"timeouts": {"totalSeconds": 5}}}))


def test_a_key_of_another_project_is_refused_and_those_of_pulumi_are_not():
    assert "keys begin with llmp:" in str(refused({"lmp:engine": {}}))
    parse({"llmp:environment": "local", "aws:region": "eu-west-1"}, where="x")


def test_values_arrive_as_json_text_when_pulumi_hands_them_over():
    settings = parse({"llmp:environment": "local", "llmp:engine": '{"replicas": 3}'}, where="x")
    assert settings.engine.replicas == 3


@pytest.mark.parametrize(
    "text",
    [
        "config: [",
        "- a list",
        "config: 5",
        "",
        "config: {1: x}",
        "config: {a: 1, a: 2}",
        "config: {llmp:engine: {secure: x}}",
    ],
)
def test_a_file_that_is_no_stack_file_is_refused(tmp_path, text):
    file = tmp_path / "Pulumi.broken.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        read_stack_file(file)
    assert "Pulumi.broken.yaml" in str(caught.value)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    file = tmp_path / "Pulumi.broken.yaml"
    file.write_bytes(b"config: \xff\xfe")
    with pytest.raises(ConfigurationError, match="not YAML"):
        read_stack_file(file)


def test_a_length_that_the_model_does_not_have_is_refused_before_anything_is_built():
    settings = parse({"llmp:environment": "local", "llmp:engine": {"maxModelLen": 9000}}, where="x")
    with pytest.raises(InvalidModelError, match="max_model_len: 9000"):
        model_spec(settings.engine)


def test_a_missing_stack_names_those_that_exist():
    with pytest.raises(ConfigurationError, match="local"):
        read_stack_file(REPOSITORY / "Pulumi.nowhere.yaml")
