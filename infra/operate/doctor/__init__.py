"""The doctor: looks for everything that makes devices silently not update, and says of each what to do.

`checks.CHECKS` is the table of what is looked at, `examination.py` carries it out, `patient.py` is the stage.
"""
