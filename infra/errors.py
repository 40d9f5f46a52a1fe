"""Every error a user of the platform can meet, grouped by what they can do about it.

A message names the thing, what is wrong with it and the mend; `llmp` prints it without a traceback.
"""

from __future__ import annotations


class LlmpError(Exception):
    """Root of the tree. `mend` is the sentence that tells the reader what to do next."""

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.mend = mend


class ConfigurationError(LlmpError):
    """A stack file or a command line says something that is not allowed: edit it."""

    def __init__(self, *, where: str, key: str, value: object, allowed: str, mend: str = "") -> None:
        super().__init__(
            f"{where}: {key} = {value!r}: {allowed}", mend=mend or f"set {key} in {where} to an allowed value"
        )
        self.where, self.key, self.value, self.allowed = where, key, value, allowed


class MachineError(LlmpError):
    """This machine lacks something: install or free it, then run again."""


class InterruptedWorkError(LlmpError):
    """Somebody stopped the work: what is done stays done."""


class BuildError(LlmpError):
    """A program or an image could not be built: what is finished is kept, running again continues."""


class ClusterError(LlmpError):
    """The local cluster, or an object in a cluster, did not become what was asked."""
