"""Adds to the errors of the service the command that fixes them: the service does not name the command line."""

import re

from chalicelib.core.errors import PasswireError
from infra.core import program

REMEDIES = (
    (r"secret passwire/(?P<stage>[^/]+)/authentication-keys", "deploy --stage {stage}"),
    (
        r"secret passwire/(?P<stage>[^/]+)/pass-types/(?P<pass_type>\S+)",
        "cert import {pass_type} FILE... --stage {stage}",
    ),
    (
        r"secret passwire/(?P<stage>[^/]+)/apns-keys/(?P<pass_type>\S+)",
        "cert rotate {pass_type} KEY.p8 --stage {stage}",
    ),
    (r"template '(?P<name>[^']+)' does not exist; push it", "template push {name}.pass --stage {stage}"),
    (r"environment variable .*deploy the stack again", "deploy --stage {stage}"),
    (r"APNs key .*import", "cert rotate {pass_type} KEY.p8 --stage {stage}"),
    (r"APNs client certificate.*import", "cert rotate {pass_type} FILE... --stage {stage}"),
    (r"pass type (?P<pass_type>pass\.[\w.-]+): .*import", "cert rotate {pass_type} FILE... --stage {stage}"),
    (r"pass type certificate: .*import", "cert rotate {pass_type} FILE... --stage {stage}"),
)
"""Commands by the beginning of the message, which names what they need, or leaves it to the reader."""
UNKNOWN = {"stage": "STAGE", "pass_type": "PASS_TYPE"}


def with_remedy(error: PasswireError) -> str:
    """Return the text of an error, with the command to run if it is an error of the service that has one."""
    text = str(error)
    if f"{program.name()} " in text:
        return text
    for pattern, command in REMEDIES:
        if found := re.match(pattern, text, re.DOTALL):
            named = {name: value.rstrip(":") for name, value in found.groupdict().items()}
            return f"{text}; run: {program.name()} {command.format(**{**UNKNOWN, **named})}"
    return text
