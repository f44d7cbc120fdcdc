"""Handlers that `make bench-api` compares with this service."""
