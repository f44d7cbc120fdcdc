"""Simulates a rollout: from the change of passes until all phones show it."""
