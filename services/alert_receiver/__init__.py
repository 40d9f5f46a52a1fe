"""A webhook receiver that remembers: what Alertmanager sent, for people and tests of the local platform to read."""
