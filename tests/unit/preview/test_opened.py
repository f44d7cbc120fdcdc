"""Tests of reading an archive for a person."""

import pytest

from chalicelib.preview.opened import OpenedPass, OpenedPassError
from tests.support import samples


def test_texts_and_images_are_in_the_persons_language() -> None:
    english, german = samples.png(50, 50), samples.png(50, 50, seed=1)
    files = {
        **{path: data for path, data in samples.files_of("coupon", logoText="greeting").items() if "logo" not in path},
        "en.lproj/logo@3x.png": english,
        "de.lproj/logo@3x.png": german,
        "de.lproj/pass.strings": '"greeting" = "Grüße";'.encode("utf-16"),
        "en.lproj/pass.strings": b'"greeting" = "Greetings";',
    }
    pkpass = samples.build(files)
    for language, logo, text in (
        ("de-AT", german, "Grüße"),
        ("en", english, "Greetings"),
        ("fr", english, "Greetings"),
    ):
        opened = OpenedPass.read(pkpass, language=language)
        assert opened.images["logo"] == logo
        assert opened.text("greeting") == text


def test_image_beside_pass_json_hides_localized_ones() -> None:
    top, german = samples.png(50, 50), samples.png(50, 50, seed=1)
    files = {**samples.files_of("coupon"), "logo@3x.png": top, "de.lproj/logo@3x.png": german}
    assert OpenedPass.read(samples.build(files), language="de").images["logo"] == top


def test_text_without_a_translation_is_unchanged() -> None:
    opened = OpenedPass.read(samples.build(samples.files_of("coupon")), language="de")
    assert opened.text("Acme Coffee") == "Acme Coffee"


def test_image_of_the_largest_scale_is_used() -> None:
    small, large = samples.png(50, 50), samples.png(100, 100)
    pkpass = samples.build({**samples.files_of("coupon"), "footer.png": small, "footer@2x.png": large})
    assert OpenedPass.read(pkpass, language="en").images["footer"] == large


@pytest.mark.parametrize("language", ['"><b>', "de AT", "", "d\u00e9"])
def test_language_that_html_does_not_allow_is_empty(language: str) -> None:
    assert OpenedPass.read(samples.build(samples.files_of("coupon")), language=language).language == ""


def test_message_names_an_invalid_strings_file() -> None:
    pkpass = samples.build({**samples.files_of("coupon"), "en.lproj/pass.strings": b'"a" "b";'})
    with pytest.raises(OpenedPassError, match=r"^en\.lproj/pass\.strings: line 1, column 5"):
        OpenedPass.read(pkpass, language="en")
