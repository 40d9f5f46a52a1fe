"""Alert rules under promtool: they are valid, fire on the harm, and stay silent on what only looks like it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alerts.rules import WATCHDOG, engine_down, rule_file
from infra.local.toolchain.families import PROMETHEUS

AVAILABLE = 'kube_deployment_status_replicas_available{namespace="serving",deployment="engine-smollm2"}'
CREATED = 'kube_deployment_created{namespace="serving",deployment="engine-smollm2"}'
WANTED = 'kube_deployment_spec_replicas{namespace="serving",deployment="engine-smollm2"}'


@pytest.fixture
def promtool(program, tmp_path):
    rules = tmp_path / "rules.yml"
    rules.write_text(
        json.dumps(rule_file([WATCHDOG, engine_down("serving", "engine-smollm2", startup_budget_seconds=60)]))
    )

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program(PROMETHEUS, "promtool"), *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    return run


def fires(
    promtool, tmp_path: Path, available: str, wanted: str, expected: list[dict[str, Any]], created: int = 0
) -> None:
    """Whether EngineDown is, 2 minutes in, what `expected` says; series in promtool's notation, a value each 30 s."""
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "30s",
        "tests": [
            {
                "interval": "30s",
                "input_series": [
                    {"series": AVAILABLE, "values": available},
                    {"series": WANTED, "values": wanted},
                    {"series": CREATED, "values": f"{created}x4"},
                ],
                "alert_rule_test": [{"eval_time": "2m", "alertname": "EngineDown", "exp_alerts": expected}],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(test))
    done = promtool("test", "rules", "test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


PAGE = {
    "exp_labels": {"severity": "page", "namespace": "serving", "deployment": "engine-smollm2"},
    "exp_annotations": {
        "summary": "No replica of engine-smollm2 is available",
        "description": "Every request to the model of engine-smollm2 fails. "
        "Look at: kubectl -n serving get pods -l app.kubernetes.io/name=engine-smollm2",
    },
}


def test_the_rules_are_valid_and_without_lint(promtool):
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rules found" in done.stdout


def test_an_engine_without_a_replica_pages(promtool, tmp_path):
    fires(promtool, tmp_path, "1 1 0 0 0", "1x4", [PAGE])


def test_an_engine_scaled_to_zero_on_purpose_pages_nobody(promtool, tmp_path):
    fires(promtool, tmp_path, "1 1 0 0 0", "1 1 0 0 0", [])


def test_an_engine_that_lost_one_of_two_replicas_pages_nobody(promtool, tmp_path):
    fires(promtool, tmp_path, "2 2 1 1 1", "2x4", [])


def test_an_engine_that_loads_for_the_first_time_pages_nobody(promtool, tmp_path):
    fires(promtool, tmp_path, "0x4", "1x4", [], created=70)


def test_the_page_resolves_when_a_replica_is_back(promtool, tmp_path):
    fires(promtool, tmp_path, "1 0 0 0 1", "1x4", [])
