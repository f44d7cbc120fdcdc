"""Images and other files of a pass: their names, their sizes, and the styles that show them.

Sizes are in points: an image for `@2x` has twice as many pixels. If Apple's sources differ (Human Interface Guidelines,
the archived Wallet Developer Guide, pass-builder), this module has the largest size, so that the size of each source is
accepted.
"""

import re
from collections.abc import Mapping

SCALES = (1, 2, 3)
OTHER_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".gif", ".webp", ".heic", ".svg")
"""Suffixes of image formats that designers export and Wallet does not show."""
LANGUAGE_PATTERN = r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*"
"""A language, such as `de`, `zh-Hans` or `pt_BR`."""
SHORT_LANGUAGE_PATTERN = r"[A-Za-z]{2}([-_][A-Za-z0-9]{2,8})*"
"""A language whose first part has two letters (ISO 639-1). No key of a field has this form."""
_LANGUAGE_FOLDER = rf"(Base|{LANGUAGE_PATTERN})\.lproj"
STRINGS = "pass.strings"
PASS_JSON = "pass.json"
PERSONALIZATION_JSON = "personalization.json"
PERSONALIZATION_LOGO = "personalizationLogo"
TOOLING_JSON = "tooling.json"
"""Settings of Pass Designer; not part of a pass."""
_NAME = r"(?P<stem>[^/@]+)(@(?P<scale>[23])x)?\.(png|pdf)"
"""pass-builder accepts and prefers PDF. It is not confirmed that phones draw it."""


IMAGE_KEY_PATTERN = r"[0-9a-f]{64}"
"""Key of an image of a single pass: the SHA-256 of its content."""
_SCALES = {"1x": "", "2x": "@2x", "3x": "@3x"}
_ONE_SCALE = "@2x"
"""Scale of an image that is given without one: phones with other scales show it too."""


class ImagePlace:
    """Size of an image and the styles that show it.

    Args:
        width: maximum width in points.
        height: maximum height in points.
        styles: styles that show the image; empty for all.
    """

    __slots__ = ("height", "styles", "width")

    def __init__(self, width: int, height: int, *styles: str) -> None:
        self.width, self.height, self.styles = width, height, styles


IMAGES: Mapping[str, ImagePlace] = {
    "icon": ImagePlace(38, 38),
    "logo": ImagePlace(160, 50),
    "primaryLogo": ImagePlace(126, 30, "eventTicket", "posterGeneric", "boardingPass"),
    "secondaryLogo": ImagePlace(135, 12, "eventTicket", "posterGeneric"),
    "strip": ImagePlace(375, 144, "coupon", "storeCard", "eventTicket"),
    "thumbnail": ImagePlace(90, 90, "generic", "eventTicket"),
    "background": ImagePlace(345, 505, "eventTicket", "posterGeneric"),  # HIG: 343x503, pass-builder: 345x505
    "artwork": ImagePlace(358, 448, "eventTicket", "posterGeneric"),
    "footer": ImagePlace(286, 15, "boardingPass"),  # HIG: 268x15, Guide and pass-builder: 286x15
    "venueMap": ImagePlace(4096, 4096, "eventTicket"),  # no source has a size
    "personalizationLogo": ImagePlace(150, 40),
}


def image_name(file_name: str) -> tuple[str, int] | None:
    """Return the name and the scale of an image: `("icon", 2)` for `icon@2x.png`; None for other files.

    Args:
        file_name: name of the file without its folder.
    """
    found = re.fullmatch(_NAME, file_name)
    return (found["stem"], int(found["scale"] or 1)) if found is not None else None


def read_images(images: Mapping[str, object]) -> dict[str, str]:
    """Read the `images` of an item, and return keys by the path in the pass: `{"thumbnail@2x.png": "<key>"}`.

    Args:
        images: by name of the image: its key, or a map to keys by scale (`1x`, `2x`, `3x`) or language, or a map by
            language to maps by scale. None means absent.

    Raises:
        ImagesError: a name, scale, language or key is invalid.
    """
    paths: dict[str, str] = {}
    for name, given in images.items():
        if given is None:
            continue
        if name not in IMAGES:
            raise ImagesError(name, f"is not an image that Wallet shows; use one of {', '.join(IMAGES)}")
        _read_image(name, name, given, "", paths)
    return paths


class ImagesError(ValueError):
    """The `images` of an item are invalid at a path within them."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path


def _read_image(name: str, path: str, given: object, folder: str, paths: dict[str, str]) -> None:
    if isinstance(given, str):
        scale = _SCALES.get(path.rpartition(".")[2], _ONE_SCALE)
        if re.fullmatch(IMAGE_KEY_PATTERN, given) is None:
            raise ImagesError(
                path, "is not the key of an image; upload the image and write its key of 64 hexadecimal digits"
            )
        paths[f"{folder}{name}{scale}.png"] = given
        return
    if not isinstance(given, Mapping) or not given:
        raise ImagesError(path, "must be the key of an image, or a map of keys by scale or language")
    for part, member in given.items():
        if member is None:
            continue
        is_language = not folder and re.fullmatch(LANGUAGE_PATTERN, part) is not None
        if part in _SCALES:
            if not isinstance(member, str):
                raise ImagesError(f"{path}.{part}", "must be the key of an image")
            _read_image(name, f"{path}.{part}", member, folder, paths)
        elif is_language:
            _read_image(name, f"{path}.{part}", member, f"{part}.lproj/", paths)
        else:
            raise ImagesError(f"{path}.{part}", f"is neither a scale ({', '.join(_SCALES)}) nor a language such as de")


def is_language_folder(name: str) -> bool:
    """Tell whether a folder contains the texts and images of one language, such as `de.lproj`."""
    return re.fullmatch(_LANGUAGE_FOLDER, name) is not None


def is_pass_file(path: str) -> bool:
    """Tell whether a file of a template belongs in a pass; other files are left out.

    Args:
        path: path in the folder, with `/`.
    """
    folder, _, name = path.rpartition("/")
    if folder:
        return is_language_folder(folder) and (name == STRINGS or image_name(name) is not None)
    return name in (PASS_JSON, PERSONALIZATION_JSON) or image_name(name) is not None
