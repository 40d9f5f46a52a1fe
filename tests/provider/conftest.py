"""The real thing for the provider's tests: one control plane a session, a namespace and a Pulumi stack a test."""

import json
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes
import pytest
from kubernetes import client, config
from pulumi import automation

from infra.local.kubernetes_provider import write_launcher
from infra.local.toolchain.families import PULUMI

PASSPHRASE = "a passphrase for the tests"

# Receives the options that place a resource in the tests' cluster.
Program = Callable[[pulumi.ResourceOptions], None]


@dataclass(frozen=True, slots=True)
class Kubernetes:
    """The API server as somebody other than Pulumi sees it."""

    api: client.ApiClient

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    @property
    def apps(self) -> client.AppsV1Api:
        return client.AppsV1Api(self.api)

    def exists(self, read: Callable[..., object], *place: str) -> bool:
        """Whether `read(*place)` finds an object."""
        try:
            read(*place)
        except client.ApiException as error:
            if error.status == 404:
                return False
            raise
        return True

    def apply(self, path: str, manager: str, obj: dict, *, force: bool = False) -> dict:
        """Server-side apply by another manager, as kubectl or an autoscaler does."""
        query = [("fieldManager", manager), ("force", str(force).lower())]
        request = self.api.param_serialize(
            "PATCH",
            path,
            query_params=query,
            header_params={"Content-Type": "application/apply-patch+yaml", "Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        answer = self.api.call_api(request[0], request[1], request[2], obj)
        assert answer.status < 300, f"the test's own apply failed: {answer.read()!r}"
        return json.loads(answer.read())


@pytest.fixture(scope="session")
def kubernetes(kubeconfig) -> Kubernetes:
    """A client of the tests' own."""
    return Kubernetes(config.new_client_from_config(str(kubeconfig)))


@pytest.fixture
def namespace(kubernetes) -> Iterator[str]:
    """A fresh namespace; its removal is asked for and not waited for."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    kubernetes.core.create_namespace({"metadata": {"name": name}})
    yield name
    kubernetes.core.delete_namespace(name)


@dataclass(frozen=True, slots=True)
class Deployed:
    """A Pulumi stack whose programs run in this process, against the tests' cluster."""

    stack: automation.Stack
    state_folder: Path
    kubeconfig: str
    settings: dict

    def up(self, program: Program, **options) -> dict[str, int]:
        """Run `pulumi up`; how many resources it created, updated, replaced, left the same."""
        self._take(program)
        return self._changes(self.stack.up, **options)

    def preview(self, program: Program) -> tuple[dict[str, int], str]:
        """Run `pulumi preview`; the changes it foresees, and what it prints."""
        self._take(program)
        foreseen = self.stack.preview(color="never")
        return foreseen.change_summary, foreseen.stdout

    def refresh(self) -> dict[str, int]:
        """Run `pulumi refresh`; what it changed in the state."""
        return self._changes(self.stack.refresh)

    def destroy(self) -> dict[str, int]:
        """Run `pulumi destroy`; how many resources went."""
        return self._changes(self.stack.destroy)

    def failure(self, program: Program, **options) -> str:
        """What the person at the terminal reads when `up` fails."""
        with pytest.raises(automation.CommandError) as caught:
            self.up(program, **options)
        return str(caught.value)

    def state_text(self) -> str:
        """All that the backend has written, as text."""
        return "\n".join(path.read_text() for path in self.state_folder.rglob("*.json"))

    def resource(self, kind: str) -> dict:
        """The one resource whose type ends with `kind`, as the state keeps it."""
        resources = self.stack.export_stack().deployment["resources"]
        found = [item for item in resources if item["type"].endswith(f":{kind}")]
        assert len(found) == 1, f"expected one {kind} in the state, found {[item['urn'] for item in found]}"
        return found[0]

    def _take(self, program: Program) -> None:
        def whole() -> None:
            provider = pulumi_kubernetes.Provider("cluster", kubeconfig=self.kubeconfig, **self.settings)
            program(pulumi.ResourceOptions(provider=provider))

        self.stack.workspace.program = whole

    def _changes(self, operation: Callable[..., object], **options) -> dict[str, int]:
        summaries: list[dict[str, int]] = []

        def note(event: automation.EngineEvent) -> None:
            if event.summary_event:
                summaries.append({str(kind): count for kind, count in event.summary_event.resource_changes.items()})

        operation(color="never", on_event=note, **options)
        return summaries[-1]


@pytest.fixture(scope="session")
def pulumi_environment(tmp_path_factory, program) -> Iterator[dict[str, str]]:
    """A Pulumi installation of the tests' own, whose `kubernetes` plugin is this provider."""
    home = tmp_path_factory.mktemp("pulumi-home")
    launchers = tmp_path_factory.mktemp("launchers")
    write_launcher(launchers)
    environment = {
        "PULUMI_HOME": str(home),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PATH": f"{launchers}:{program(PULUMI, 'pulumi').parent}:{os.environ['PATH']}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(scope="session")
def pulumi_command(pulumi_environment) -> automation.PulumiCommand:
    """The CLI, asked for its version once and not once a stack."""
    return automation.PulumiCommand()


@pytest.fixture
def make_stack(kubeconfig, pulumi_environment, pulumi_command, tmp_path) -> Callable[..., Deployed]:
    """Make a stack; keyword arguments become settings of its kubernetes.Provider."""

    def make(**settings) -> Deployed:
        name = f"s{uuid.uuid4().hex[:8]}"
        folder = tmp_path / name
        folder.mkdir()
        stack = automation.create_stack(
            name,
            "provider-tests",
            program=lambda: None,
            opts=automation.LocalWorkspaceOptions(
                env_vars={**pulumi_environment, "PULUMI_BACKEND_URL": f"file://{folder}"},
                pulumi_command=pulumi_command,
            ),
        )
        # After each operation the Automation API runs the CLI again for outputs and history: a third of the time, and
        # no test reads them.
        stack.outputs = dict
        stack.info = lambda show_secrets=None: "not asked for"
        return Deployed(stack, folder, kubeconfig.read_text(), settings)

    return make


@pytest.fixture
def stack(make_stack) -> Deployed:
    """A stack with nothing set but the kubeconfig; what a test leaves in it goes with the test's namespace."""
    return make_stack()
