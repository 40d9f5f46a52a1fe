"""Valkey: shared state of the gateways."""
