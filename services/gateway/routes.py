"""The public paths and what each asks of a model."""

from enum import Enum

from services.gateway.config import Kind


class Route(Enum):
    """A public path that an engine answers."""

    CHAT = ("/v1/chat/completions", "chat_completions", "chat", frozenset({Kind.CHAT}))
    COMPLETIONS = ("/v1/completions", "completions", "text_completion", frozenset({Kind.CHAT, Kind.COMPLETION}))
    EMBEDDINGS = ("/v1/embeddings", "embeddings", "embeddings", frozenset({Kind.EMBEDDING}))

    def __init__(self, path: str, label: str, operation: str, kinds: frozenset[Kind]) -> None:
        self.path = path
        self.label = label
        """Metric label."""
        self.operation = operation
        """gen_ai.operation.name."""
        self.kinds = kinds
        """Kinds of models that serve it."""


ROUTES = {route.path: route for route in Route}
MODELS_PATH = "/v1/models"
MODELS_LABEL = "models"
OPERATIONS = {route.label: route.operation for route in Route}
