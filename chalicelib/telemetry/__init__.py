"""Structured logs and metrics, written as lines to standard output."""
