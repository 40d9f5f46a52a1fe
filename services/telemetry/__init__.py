"""Telemetry of the services: one frozen record per finished unit of work, handed to hooks (log line, metric, span).

Business code builds the record and calls `Hooks`; it never imports a logging, metrics or tracing library. The modules
here hold what every service shares; which metric, line or span a record becomes is the service's own choice.
"""

from services.telemetry.hooks import Hook, Hooks

__all__ = ["Hook", "Hooks"]
