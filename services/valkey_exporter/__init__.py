"""Valkey's own counters in Prometheus' format, under the names that the field's Redis dashboards use."""
