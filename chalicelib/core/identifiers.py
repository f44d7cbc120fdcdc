"""The names that the protocol hands around, parsed once at the border and trusted after.

Device library identifiers and push tokens are secrets between a device and this service (Apple, "Register a Pass for
Update Notifications"): their `repr` and `str` show nothing of them.
"""

import re
from dataclasses import dataclass, field
from typing import Self

from chalicelib.core.errors import RefusedError, limited, shown

MAX_PASS_ID_BYTES = 1024
"""DynamoDB allows a range key of 1024 bytes and a hash key of 2048; a pass id is held to the smaller."""
MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH = 256
MAX_PUSH_TOKEN_LENGTH = 1024
MIN_AUTHENTICATION_TOKEN_LENGTH = 16
"""Apple, "Pass": `authenticationToken` is 16 characters or longer."""
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
TEMPLATE_NAME_RULE = "1 to 64 of the letters A-Z and a-z, digits, '-', '_' and '.', not starting with '.'"
"""A template's name is part of an S3 key (AWS, "Object key naming guidelines": these need no special handling)."""


class IdentifierError(RefusedError):
    """An identifier that cannot be one: empty, too long, or with characters that it cannot have."""

    def __init__(self, message: str) -> None:
        super().__init__(limited(message))


@dataclass(frozen=True, order=True, slots=True)
class PassId:
    """A pass: its type and its serial number, written `<passTypeIdentifier>/<serialNumber>` as DynamoDB's key."""

    pass_type_identifier: str
    serial_number: str

    def __post_init__(self) -> None:
        if not self.pass_type_identifier or "/" in self.pass_type_identifier:
            raise IdentifierError(
                f"pass type identifier '{shown(self.pass_type_identifier)}': must not be empty nor hold a '/'"
            )
        if not self.pass_type_identifier.isascii() or not self.pass_type_identifier.isprintable():
            raise IdentifierError(f"pass type identifier '{shown(self.pass_type_identifier)}': must be printable ASCII")
        if not self.serial_number:
            raise IdentifierError(f"pass of type {shown(self.pass_type_identifier)}: the serial number is empty")
        try:
            size = len(str(self).encode())
        except UnicodeEncodeError as error:
            raise IdentifierError(
                f"pass of type {shown(self.pass_type_identifier)}: serial number is not Unicode"
            ) from error
        if size > MAX_PASS_ID_BYTES:
            raise IdentifierError(
                f"pass of type {shown(self.pass_type_identifier)}: pass_id is {size} bytes, {MAX_PASS_ID_BYTES} at most"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split `<passTypeIdentifier>/<serialNumber>` at the first '/'; a serial number may hold more of them.

        Raises:
            IdentifierError: there is no '/', or either side is not what it must be.
        """
        pass_type_identifier, slash, serial_number = text.partition("/")
        if not slash:
            raise IdentifierError(f"pass_id '{shown(text)}': must be <passTypeIdentifier>/<serialNumber>")
        return cls(pass_type_identifier, serial_number)

    def __str__(self) -> str:
        return f"{self.pass_type_identifier}/{self.serial_number}"


@dataclass(frozen=True, order=True, slots=True)
class DeviceLibraryIdentifier:
    """What a device calls itself: an opaque, printable string that only the device and this service know."""

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        _require_printable_ascii(
            "device library identifier", self.value, max_length=MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH
        )

    def __str__(self) -> str:
        return "<device library identifier>"


@dataclass(frozen=True, order=True, slots=True)
class PushToken:
    """Where APNs reaches a device. Apple promises neither its length nor its alphabet, so neither is assumed."""

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        _require_printable_ascii("pushToken", self.value, max_length=MAX_PUSH_TOKEN_LENGTH)

    def __str__(self) -> str:
        return "<push token>"


@dataclass(frozen=True, slots=True)
class AuthenticationToken:
    """The shared secret of one pass, as it stands in its pass.json."""

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < MIN_AUTHENTICATION_TOKEN_LENGTH:
            raise IdentifierError(
                f"authentication token: has {len(self.value)} characters, "
                f"Apple asks for {MIN_AUTHENTICATION_TOKEN_LENGTH} or more"
            )
        if not self.value.isascii() or not self.value.isprintable() or " " in self.value:
            raise IdentifierError("authentication token: must be printable ASCII without spaces, it is an HTTP header")

    def __str__(self) -> str:
        return "<authentication token>"


def is_template_name(text: str) -> bool:
    """Whether a template may have this name (`TEMPLATE_NAME_RULE`)."""
    return _TEMPLATE_NAME.fullmatch(text) is not None


def _require_printable_ascii(name: str, value: str, *, max_length: int) -> None:
    if not value:
        raise IdentifierError(f"{name}: is empty")
    if len(value) > max_length:
        raise IdentifierError(f"{name}: has {len(value)} characters, {max_length} at most")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise IdentifierError(f"{name}: must be printable ASCII without spaces")
