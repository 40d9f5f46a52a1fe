"""A stack through the Pulumi engine: the Automation API with our program inline, so no language host is needed."""

from __future__ import annotations

import os
import re
import secrets as random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation as auto
from pulumi.automation import events

from infra import program
from infra.environments import environment
from infra.errors import ClusterError
from infra.local.home import Home
from infra.local.kubernetes_plugin import Plugin
from infra.secrets import Secrets
from infra.settings import PROJECT, Settings

# A proxy cannot reach the local node: clients of it must not ask one.
_PROXY_EXCEPTIONS = {
    name: ",".join(filter(None, [os.environ.get(name), "127.0.0.1", "10.200.0.0/16", "10.200.0.2"]))
    for name in ("NO_PROXY", "no_proxy")
}
_UNCHANGED = frozenset({"same", "read", "read-discard", "read-replacement"})
# One replacement is three operations to the engine; people count it once.
_PARTS = frozenset({"create-replacement", "delete-replaced"})


@dataclass(frozen=True, slots=True)
class Change:
    """One operation of a plan or an update: `op` is create, update, replace or delete; `keys` name what differs."""

    op: str
    type: str
    name: str
    keys: tuple[str, ...]


@dataclass(slots=True)
class Report:
    """What an operation did, or would do."""

    changes: list[Change] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[str]:
        return Counter(change.op for change in self.changes)


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack whose state lies in `folder`. `file` is its `Pulumi.<stack>.yaml`, beside Pulumi.yaml."""

    name: str
    settings: Settings
    file: Path
    folder: Path
    home: Home
    pulumi: Path
    plugin: Plugin

    def up(self, say: Callable[[str], None]) -> Report:
        """Make it so. Raises ClusterError with what the engine said of each object that failed."""
        report = Report()
        self._break_locks_of_the_dead()
        try:
            result = self._open().up(on_event=_Listener(report, say), parallel=32)
        except auto.CommandError as error:
            raise self._failure("up", report, error) from error
        report.outputs = {key: output.value for key, output in result.outputs.items()}
        return report

    def preview(self, say: Callable[[str], None]) -> Report:
        """What `up` would do. Changes nothing."""
        report = Report()
        self._break_locks_of_the_dead()
        try:
            self._open().preview(on_event=_Listener(report, say), parallel=32)
        except auto.CommandError as error:
            raise self._failure("preview", report, error) from error
        return report

    def destroy(self, say: Callable[[str], None]) -> Report:
        """Delete every object of the stack."""
        report = Report()
        self._break_locks_of_the_dead()
        try:
            self._open().destroy(on_event=_Listener(report, say), parallel=32)
        except auto.CommandError as error:
            raise self._failure("destroy", report, error) from error
        return report

    def outputs(self) -> dict[str, Any]:
        """The outputs of the last `up`, secrets included; empty before the first."""
        if not self._backend.exists():
            return {}
        return {key: output.value for key, output in self._open().outputs().items()}

    @property
    def _backend(self) -> Path:
        return self.folder / "backend"

    def _open(self) -> auto.Stack:
        work = self._work_folder()
        return auto.create_or_select_stack(
            stack_name=self.name,
            project_name=PROJECT,
            program=self._program,
            opts=auto.LocalWorkspaceOptions(
                work_dir=str(work),
                pulumi_home=str(self.home.pulumi),
                env_vars=self._environment(),
                pulumi_command=auto.PulumiCommand(root=str(self._command_root()), skip_version_check=True),
            ),
        )

    def _break_locks_of_the_dead(self) -> None:
        """An `llmp` that was killed leaves its lock on the backend. Whoever operates on a stack holds the lock of the
        state folder (infra.local.lock), so that any lock found here is of a process that is gone."""
        for lock in (self._backend / ".pulumi" / "locks").rglob("*.json"):
            lock.unlink(missing_ok=True)

    def _program(self) -> None:
        seed = self._secret_file("seed").read_text().strip()
        program.run(self.settings, Secrets.from_seed(seed, self.name), environment(self.settings, self.home))

    def _environment(self) -> dict[str, str]:
        folders = [self.plugin.folder] if self.plugin.folder else []
        path = os.pathsep.join([*map(str, folders), str(self.pulumi.parent), os.environ.get("PATH", "")])
        return {
            "PATH": path,
            **_PROXY_EXCEPTIONS,
            "PULUMI_BACKEND_URL": f"file://{self._backend}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(self._secret_file("passphrase")),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_ERROR_OUTPUT_STRING": "true",
        }

    def _command_root(self) -> Path:
        """The Automation API wants `<root>/bin/pulumi`."""
        link = command_link(self.folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(self.pulumi)
        return link.parents[1]

    def _secret_file(self, name: str) -> Path:
        """A file of random text that only its owner can read, made once a state folder."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            scratch = path.with_suffix(".part")  # whole or not at all: an empty seed would give keys that all can guess
            scratch.unlink(missing_ok=True)
            scratch.touch(mode=0o600)
            scratch.write_text(random.token_urlsafe(32))
            scratch.replace(path)
        return path

    def _work_folder(self) -> Path:
        """The project and stack file, copied: the engine writes its encryption salt into the stack file, and that
        belongs to this machine's passphrase, not into the repository."""
        folder = self.folder / "work"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._backend.mkdir(parents=True, exist_ok=True, mode=0o700)
        project = yaml.safe_load(self.file.with_name("Pulumi.yaml").read_text())
        project.pop("main", None)
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        name = f"Pulumi.{self.name}.yaml"
        document = yaml.safe_load(self.file.read_text())
        if (folder / name).exists():
            salt = (yaml.safe_load((folder / name).read_text()) or {}).get("encryptionsalt")
            if salt:
                document["encryptionsalt"] = salt
        (folder / name).write_text(yaml.safe_dump(document))
        return folder

    def _failure(self, what: str, report: Report, error: auto.CommandError) -> ClusterError:
        reasons = report.failures or [_tail(str(error))]
        mend = f"mend what is named above and run it again: what is done stays done, `llmp {what}` continues"
        if "currently locked" in str(error):
            reasons = [f"  another program works on the stack {self.name}"]
            mend = "wait until it has ended, then run it again"
        return ClusterError(f"{what} of the stack {self.name} failed:\n" + "\n".join(reasons), mend=mend)


def command_link(folder: Path) -> Path:
    """Where a stack remembers which engine it was last run with."""
    return folder / "command" / "bin" / "pulumi"


class _Listener:
    """Turns the engine's events into a report and one line of detail at a time."""

    def __init__(self, report: Report, say: Callable[[str], None]) -> None:
        self._report, self._say = report, say
        self._under_way: set[str] = set()
        self._done = 0

    def __call__(self, event: events.EngineEvent) -> None:
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            if metadata.op.value not in _UNCHANGED and metadata.type != "pulumi:pulumi:Stack":
                self._under_way.add(metadata.urn)
                if metadata.op.value not in _PARTS:
                    keys = metadata.keys or tuple(metadata.detailed_diff or ()) or metadata.diffs or ()
                    self._report.changes.append(
                        Change(metadata.op.value, metadata.type, metadata.urn.rsplit("::", 1)[-1], tuple(keys))
                    )
        elif event.res_outputs_event is not None:
            self._done += 1
            self._under_way.discard(event.res_outputs_event.metadata.urn)
        elif event.res_op_failed_event is not None:
            self._under_way.discard(event.res_op_failed_event.metadata.urn)
        elif event.diagnostic_event is not None:
            self._diagnose(event.diagnostic_event)
        self._say(self._status())

    def _diagnose(self, event: events.DiagnosticEvent) -> None:
        message = re.sub(r"<\{%.*?%\}>", "", event.message).strip()
        if event.severity == "error" and message:
            name = event.urn.rsplit("::", 1)[-1] if event.urn else ""
            self._report.failures.append(f"  {name}: {message}" if name else f"  {message}")

    def _status(self) -> str:
        names = sorted(urn.rsplit("::", 1)[-1] for urn in self._under_way)
        waiting = f"waiting for {', '.join(names[:4])}{' …' if len(names) > 4 else ''}" if names else ""
        return f"{self._done} objects{'; ' + waiting if waiting else ''}"


def _tail(text: str) -> str:
    return "\n".join(line for line in text.splitlines()[-12:] if line.strip())
