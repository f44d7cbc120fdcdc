"""Tests that need the service deployed on the embedded AWS."""
