"""Estimates the monthly cost of a stage: requests per flow (`flows.py`) multiplied by list prices (`prices.py`)."""
