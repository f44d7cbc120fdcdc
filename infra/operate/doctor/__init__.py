"""The doctor: checks a stage for everything that makes devices silently not update, and names the remedies.

`checks.CHECKS` is the table of checks, `run.py` runs them, and `context.py` gives them access to the stage.
"""
