"""The OpenAI-compatible front door: identity, replica choice, streams byte for byte, one outcome per request."""
