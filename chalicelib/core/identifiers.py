"""Identifiers of passes and devices: validated when they are created, and trusted after that.

Device library identifiers and push tokens are secrets between a device and this service (Apple, "Register a Pass for
Update Notifications"), so `repr` and `str` do not show their values.
"""

import re
from dataclasses import dataclass, field
from typing import Self

from chalicelib.core.errors import RefusedError, excerpt, shorten

MAX_PASS_ID_BYTES = 1024
"""DynamoDB's limit for a range key. A pass id is also a hash key, for which the limit is 2048 bytes."""
MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH = 256
MAX_PUSH_TOKEN_LENGTH = 1024
MIN_AUTHENTICATION_TOKEN_LENGTH = 16
"""Apple, "Pass": `authenticationToken` is 16 characters or longer."""
_TEMPLATE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}")
TEMPLATE_NAME_RULE = "1 to 64 of the letters A-Z and a-z, digits, '-', '_' and '.', not starting with '.'"
"""A template's name is part of an S3 key (AWS, "Object key naming guidelines": these need no special handling)."""


class IdentifierError(RefusedError):
    """An identifier is invalid: empty, too long, or with characters that are not allowed."""

    def __init__(self, message: str) -> None:
        super().__init__(shorten(message))


@dataclass(frozen=True, order=True, slots=True)
class PassId:
    """Identity of a pass: its type and serial number, written `<passTypeIdentifier>/<serialNumber>` as DynamoDB's key.

    Raises:
        IdentifierError: the type is empty, not printable ASCII or contains a '/'; or the serial number is empty, not
            valid Unicode, or longer than `MAX_PASS_ID_BYTES` together with the type.
    """

    pass_type_identifier: str
    serial_number: str

    def __post_init__(self) -> None:
        if not self.pass_type_identifier or "/" in self.pass_type_identifier:
            raise IdentifierError(
                f"pass type identifier '{excerpt(self.pass_type_identifier)}': must not be empty or contain a '/'"
            )
        if not self.pass_type_identifier.isascii() or not self.pass_type_identifier.isprintable():
            raise IdentifierError(
                f"pass type identifier '{excerpt(self.pass_type_identifier)}': must be printable ASCII"
            )
        if not self.serial_number:
            raise IdentifierError(f"pass of type {excerpt(self.pass_type_identifier)}: the serial number is empty")
        try:
            size = len(str(self).encode())
        except UnicodeEncodeError as error:
            raise IdentifierError(
                f"pass of type {excerpt(self.pass_type_identifier)}: the serial number is not valid Unicode"
            ) from error
        if size > MAX_PASS_ID_BYTES:
            raise IdentifierError(
                f"pass of type {excerpt(self.pass_type_identifier)}: the pass_id has {size} bytes, "
                f"must have at most {MAX_PASS_ID_BYTES}"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split `<passTypeIdentifier>/<serialNumber>` at the first '/'; a serial number may contain others.

        Raises:
            IdentifierError: there is no '/', or either side is invalid.
        """
        pass_type_identifier, slash, serial_number = text.partition("/")
        if not slash:
            raise IdentifierError(f"pass_id '{excerpt(text)}': must be <passTypeIdentifier>/<serialNumber>")
        return cls(pass_type_identifier, serial_number)

    def __str__(self) -> str:
        return f"{self.pass_type_identifier}/{self.serial_number}"


@dataclass(frozen=True, order=True, slots=True)
class DeviceLibraryIdentifier:
    """Name of a device: an opaque, printable string that only the device and this service know.

    Raises:
        IdentifierError: the value is empty, too long, or not printable ASCII without spaces.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        _require_printable_ascii(
            "device library identifier", self.value, max_length=MAX_DEVICE_LIBRARY_IDENTIFIER_LENGTH
        )

    def __str__(self) -> str:
        return "<device library identifier>"


@dataclass(frozen=True, order=True, slots=True)
class PushToken:
    """Address of a device at APNs. Apple specifies neither its length nor its alphabet, so neither is assumed.

    Raises:
        IdentifierError: the value is empty, too long, or not printable ASCII without spaces.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        _require_printable_ascii("pushToken", self.value, max_length=MAX_PUSH_TOKEN_LENGTH)

    def __str__(self) -> str:
        return "<push token>"


@dataclass(frozen=True, slots=True)
class AuthenticationToken:
    """Shared secret of a pass and this service, contained in its pass.json as `authenticationToken`.

    Raises:
        IdentifierError: the value is too short, or not printable ASCII without spaces.
    """

    value: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < MIN_AUTHENTICATION_TOKEN_LENGTH:
            raise IdentifierError(
                f"authentication token: has {len(self.value)} characters, "
                f"Apple requires at least {MIN_AUTHENTICATION_TOKEN_LENGTH}"
            )
        if not self.value.isascii() or not self.value.isprintable() or " " in self.value:
            raise IdentifierError(
                "authentication token: must be printable ASCII without spaces, because it is sent in an HTTP header"
            )

    def __str__(self) -> str:
        return "<authentication token>"


def is_template_name(text: str) -> bool:
    """Tell whether this is a valid name of a template (`TEMPLATE_NAME_RULE`)."""
    return _TEMPLATE_NAME.fullmatch(text) is not None


def _require_printable_ascii(name: str, value: str, *, max_length: int) -> None:
    if not value:
        raise IdentifierError(f"{name}: is empty")
    if len(value) > max_length:
        raise IdentifierError(f"{name}: has {len(value)} characters, must have at most {max_length}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise IdentifierError(f"{name}: must be printable ASCII without spaces")
