"""Makes ministack refuse what AWS refuses: patches that run inside ministack's process.

`aws_rules.py` lists the rules with their sources. This package runs on ministack's own Python, which does not have the
project, so it imports only the standard library and, relatively, its own modules. Times are shorter than AWS's, so that
a test can wait for them; `Limits` contains them, and `PUT /_passwire/strict` changes them while ministack runs.
"""
