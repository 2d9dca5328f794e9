"""Metrics, health and faults: what operators and Prometheus read."""
