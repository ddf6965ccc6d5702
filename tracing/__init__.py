"""Traces: the spans of requests, appends, deployments and steps, and the exporter that sends them to a collector."""
