"""The checks of Apple's format, for all keys of a pass but fields and semantic tags: errors, warnings or neither."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.passes.format.check import MAX_DEPTH, check_item, check_pass, find_unwritable
from chalicelib.passes.format.findings import MAX_FINDINGS, Level
from chalicelib.passes.format.keys import PASS_KEYS
from tests.support.format_checks import P256_KEY, Content, a_pass, errors, of_level, tags, warnings, with_field


@pytest.mark.parametrize("text", ["rgb(1,2,3)", "RGB( 1 , 2,3 )", "  rgb(255, 0, 0)  ", "rgb(001, 2, 3)"], ids=repr)
def test_colors_in_the_grammar_of_apples_tool_have_no_findings(text: str) -> None:
    assert check_pass(a_pass(backgroundColor=text)) == []


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("#12aBfF", "rgb(18, 171, 255)"),
        ("#fa0", "rgb(255, 170, 0)"),
        ("rgba(220, 58, 92, 1.00)", "rgb(220, 58, 92)"),
        ("RGBA(1,2,3,50%)", "rgb(1, 2, 3)"),
        ("rgb(256, 0, -1)", "rgb(255, 0, 0)"),
    ],
)
def test_colors_in_another_form_that_phones_read_give_a_warning(text: str, written: str) -> None:
    (warning,) = warnings(a_pass(backgroundColor=text))
    assert f"write {written}" in warning


@pytest.mark.parametrize(
    "text",
    [
        *("Black", "", "#12", "#1234", "#12345g", "hsl(1, 2%, 3%)", "rgb(255-255-255)", "rgb(1,2)", "rgb(1,2,3,4)"),
        *("rgb(10%, 20%, 30%)", "rgb(1.5, 2, 3)", "rgba(1,2,3)", "rgb(1 2 3)", "rgb(\u0661,2,3)", "rgb(1,2,3) x"),
        *(5, ["x"]),
    ],
)
def test_colors_for_which_phones_refuse_the_pass_are_errors(text: object) -> None:
    assert "must be a color such as rgb(18, 52, 86)" in errors(a_pass(labelColor=text))[0]
    assert errors(tags(seats=[{"seatSectionColor": text}]))[0].startswith("semantics.seats[0].seatSectionColor")
    assert of_level(check_item({"stripColor": text}, {}, {}), Level.ERROR)


@pytest.mark.parametrize("text", ["2026-12-24T18:30Z", "2026-12-24T18:30:59+01:00", "2028-02-29T00:00-11:30"])
def test_dates_in_apples_form_are_accepted_everywhere(text: str) -> None:
    assert check_pass(a_pass(expirationDate=text, semantics={"eventStartDate": text})) == []


@pytest.mark.parametrize("text", ["2026-12-24T18:30:00.000Z", "2026-12-24T18:30:00.5+01:00"])
def test_fraction_of_a_second_is_an_error_at_the_top_level_and_a_warning_in_semantics(text: str) -> None:
    assert "without fractions" in errors(a_pass(expirationDate=text))[0]
    assert "without fractions" in errors(a_pass(relevantDates=[{"date": text}]))[0]
    assert "fraction of a second" in warnings(tags(originalDepartureDate=text))[0]
    assert "fraction of a second" in warnings(tags(eventStartDateInfo={"date": text}))[0]


@pytest.mark.parametrize(
    "text",
    [
        *("soon", "", "2026-12-24", "2026-12-24T18:30:00", "2026-12-24T18:30:00+0100", "2026-12-24 18:30Z", 1782000000),
        *(
            "2026-13-01T00:00Z",
            "2026-02-29T00:00Z",
            "2026-12-24T25:00Z",
            "2026-12-24T18:30Z ",
            "\u0662026-12-24T18:30Z",
            None,
        ),
        *("2026-12-24T18:30:00+01:00[Europe/Berlin]", "2026-12-24T18:30ZZ", True),
    ],
)
def test_invalid_date_is_an_error_everywhere(text: object) -> None:
    assert errors(a_pass(relevantDate=text))
    assert errors(tags(eventEndDate=text))


@pytest.mark.parametrize("count", [10, 11])
def test_ten_locations_and_ten_different_beacons_are_allowed(count: int) -> None:
    locations = [{"latitude": 1, "longitude": 1.5}] * count
    beacons = [{"proximityUUID": f"E2C56DB5-DFFB-48D2-B060-D0F5A710{number:04X}"} for number in range(count)]
    same = [{"proximityUUID": beacons[0]["proximityUUID"], "major": number} for number in range(count)]
    allowed = count <= 10
    assert (errors(a_pass(locations=locations)) == []) is allowed
    assert (errors(a_pass(beacons=beacons)) == []) is allowed
    assert errors(a_pass(beacons=same)) == []


@pytest.mark.parametrize(
    ("key", "value", "path"),
    [
        ("locations", [{"latitude": None, "longitude": 1.5}], "locations[0].latitude"),
        ("locations", [{"longitude": 1.5}], "locations[0].latitude"),
        ("locations", [{"latitude": "1", "longitude": 1}], "locations[0].latitude"),
        ("locations", [{"latitude": 90.01, "longitude": 1}], "locations[0].latitude"),
        ("locations", {"latitude": 1, "longitude": 1}, "locations"),
        ("beacons", [{"proximityUUID": "x"}], "beacons[0].proximityUUID"),
        ("beacons", [{"proximityUUID": "E2C56DB5-DFFB-48D2-B060-D0F5A71096E0", "major": 65536}], "beacons[0].major"),
        ("beacons", [{"major": 1}], "beacons[0].proximityUUID"),
        ("maxDistance", "100", "maxDistance"),
        ("maxDistance", True, "maxDistance"),
        ("maxDistance", 10**43, "maxDistance"),
        ("maxDistance", float("inf"), "maxDistance"),
        ("relevantDates", [{"startDate": "2026-12-24T18:30Z"}], "relevantDates[0]"),
        ("relevantDates", [{}], "relevantDates[0]"),
        ("relevantDates", ["2026-12-24T18:30Z"], "relevantDates[0]"),
        ("nfc", {"message": "é" * 33, "encryptionPublicKey": P256_KEY}, "nfc.message"),
        ("nfc", {"message": "x"}, "nfc.encryptionPublicKey"),
        ("nfc", {"message": "x", "encryptionPublicKey": "x"}, "nfc.encryptionPublicKey"),
        ("nfc", {"message": "x", "encryptionPublicKey": f"-----BEGIN PUBLIC KEY-----\n{P256_KEY}"}, "nfc.encryption"),
        (
            "featuredActions",
            [{"identifier": "1", "type": "shop", "url": "https://a.example"}] * 2,
            "featuredActions[1]",
        ),
        ("featuredActions", [{"identifier": "1", "type": "shop"}], "featuredActions[0]"),
        ("upcomingPassInformation", [{"type": "event", "identifier": "1"}], "upcomingPassInformation[0].name"),
        (
            "upcomingPassInformation",
            [{"type": "trip", "identifier": "1", "name": "x"}],
            "upcomingPassInformation[0].type",
        ),
        ("voided", "true", "voided"),
        ("voided", 1, "voided"),
        ("formatVersion", True, "formatVersion"),
        ("formatVersion", 2, "formatVersion"),
        ("description", "", "description"),
        ("associatedStoreIdentifiers", ["1"], "associatedStoreIdentifiers[0]"),
        ("appLaunchURL", "example", "appLaunchURL"),
        ("appLaunchURL", "http://[", "appLaunchURL"),
        ("sellURL", 5, "sellURL"),
        ("preferredStyleSchemes", "posterEventTicket", "preferredStyleSchemes"),
    ],
)
def test_invalid_value_is_an_error_with_its_path(key: str, value: object, path: str) -> None:
    assert any(error.startswith(path) for error in errors(a_pass(**{key: value}))), errors(a_pass(**{key: value}))


def test_nfc_messages_are_counted_in_bytes() -> None:
    assert errors(a_pass(nfc={"message": "é" * 32, "encryptionPublicKey": P256_KEY})) == []
    assert "has 66 bytes" in errors(a_pass(nfc={"message": "é" * 33, "encryptionPublicKey": P256_KEY}))[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"relevantDates": [{"startDate": "2026-12-24T00:00Z", "endDate": "2026-12-25T00:01Z"}]}, "24 hours"),
        ({"relevantDates": [{"startDate": "2026-12-24T00:00Z", "endDate": "2026-12-23T00:01Z"}]}, "before it starts"),
        (
            {"featuredActions": [{"identifier": "1", "type": "viewMembership", "url": "https://a.example"}]},
            "must be one",
        ),
        ({"featuredActions": [{"identifier": "1", "type": "shop", "url": "www.example.com/offers"}]}, "its scheme"),
        ({"featuredActions": [{"identifier": "1", "type": "call", "url": "https://a.example"}]}, "begin with tel:"),
        (
            {"upcomingPassInformation": [{"type": "event", "identifier": "1", "name": "x"}]},
            "only on poster event tickets",
        ),
        ({"barcode": {"format": "PKBarcodeFormatCode128", "message": "x"}}, "phones draw only"),
        ({"groupingIdentifier": "trip"}, "has an effect only for boardingPass and eventTicket"),
        ({"appLaunchURL": "acme://open"}, "opens no app without associatedStoreIdentifiers"),
        ({"sellURL": "www.example.com"}, "must be a URL with its scheme"),
        ({"barcode": {"format": "PKBarcodeFormatQR"}}, "is deprecated since iOS 9"),
        ({"relevantDate": "2026-12-24T00:00Z"}, "is deprecated since iOS 18"),
        ({"userInfo": "x"}, "is documented as a map"),
        ({"logoTxt": "x"}, "did you mean logoText?"),
        ({"preferredStyleSchemes": ["posterTicket"]}, "must be one of posterEventTicket"),
        ({"preferredStyleSchemes": ["posterEventTicket"]}, "belongs to eventTicket, but this pass has another style"),
        ({"semantics": {"deparatureGate": "A1"}}, "did you mean departureGate?"),
        ({"semantics": {"duration": 1.5}}, "must be a whole number"),
        ({"semantics": {"seats": [{"seatNo": "1"}]}}, "is not a key that Apple documents"),
        ({"semantics": {"departureLocationTimeZone": "CET+1 hour"}}, "time zone"),
        ({"semantics": {"passengerCapabilities": ["PKPassengerCapabilityNew"]}}, "must be one of"),
    ],
)
def test_value_that_phones_leave_out_or_show_in_another_way_gives_a_warning(
    keys: dict[str, object], message: str
) -> None:
    found = warnings(a_pass(**keys))
    assert any(message in warning for warning in found), found


@pytest.mark.parametrize("text", ["\ud83c", "a\udc00b"])
def test_half_a_character_is_an_error_at_any_path(text: str) -> None:
    for content, path in (
        (a_pass(logoText=text), "logoText"),
        (a_pass(userInfo={"a": [{"b": text}]}), "userInfo.a[0].b"),
        (with_field(label=text), "generic.secondaryFields[0].label"),
        (tags(eventName=text), "semantics.eventName"),
    ):
        (error,) = errors(content)
        assert error.startswith(f"{path}: ")
        assert "half of a character" in error
        error.encode()
    assert "half of a character" in errors(a_pass(userInfo={text: 1}))[0]
    assert find_unwritable({"a": [text]}, "overrides")[0].path == "overrides.a[0]"


@pytest.mark.parametrize("value", [None, [None], {"a": None}])
def test_null_is_an_error_in_a_template_except_in_user_info(value: object) -> None:
    assert any("null is not a value of Apple's format" in error for error in errors(a_pass(logoText=value)))
    assert errors(a_pass(userInfo={"a": value})) == []


def nested(levels: int) -> Content:
    content: Content = {}
    for _ in range(levels):
        content = {"a": content}
    return content


def test_deep_nesting_and_a_large_map_give_few_findings_quickly() -> None:
    assert errors(a_pass(userInfo=nested(MAX_DEPTH - 5))) == []
    assert "levels of maps and lists" in errors(a_pass(userInfo=nested(900)))[0]
    huge = {f"tag{number}": "x" * 30 for number in range(50_000)}
    assert len(json.dumps(huge)) > 2_000_000
    started = time.process_time()
    assert len(check_pass(a_pass(semantics=huge))) == MAX_FINDINGS
    assert len(check_item({"semantics": huge}, {}, {})) == MAX_FINDINGS
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("barcodes", "levels"),
    [
        ([{"format": "PKBarcodeFormatQR", "message": "ü€😀", "messageEncoding": "utf-8"}], []),
        ([{"format": "PKBarcodeFormatPDF417", "message": "ü", "messageEncoding": "iso-8859-1"}], []),
        ([{"format": "PKBarcodeFormatPDF417", "message": "€", "messageEncoding": "iso-8859-1"}], ["error"]),
        ([{"format": "PKBarcodeFormatQR", "message": "x", "messageEncoding": "latin-42"}], ["error"]),
        ([{"format": "PKBarcodeFormatQR", "message": "x", "messageEncoding": "rot13"}], ["error"]),
        ([{"format": "PKBarcodeFormatQR", "message": "x" * 8000}], ["error"]),
        ([{"format": "PKBarcodeFormatQR", "message": ""}], ["error"]),
        ([{"format": "PKBarcodeFormatQr", "message": "x"}], ["error"]),
        ([{"format": "PKBarcodeFormatITF", "message": "12"}], ["error"]),
        ([{"format": "PKBarcodeFormatITF", "message": "12"}, {"format": "PKBarcodeFormatQR"}], ["warning"]),
        ([{"format": "PKBarcodeFormatCode128", "message": "AB-12 é"}], []),
        ([{"format": "PKBarcodeFormatCode128", "message": "№"}], ["error"]),
        ([{"format": "PKBarcodeFormatEAN13", "message": "4006381333931"}, {"format": "PKBarcodeFormatQR"}], []),
        ([{"format": "PKBarcodeFormatEAN13", "message": "400638133393"}, {"format": "PKBarcodeFormatQR"}], []),
        ([{"format": "PKBarcodeFormatEAN13", "message": "4006381333931"}], ["warning"]),
        ([{"format": "PKBarcodeFormatEAN13", "message": "4006381333932"}], ["error"]),
        ([{"format": "PKBarcodeFormatI2of5", "message": "123"}], ["error"]),
        ([{"format": "PKBarcodeFormatCode39", "message": "abc"}], ["error"]),
        ([{"format": "PKBarcodeFormatCodabar", "message": "A123-4B"}], ["warning"]),
        ([{"format": "PKBarcodeFormatCodabar", "message": "A123-4"}], ["error"]),
        ([{"message": "x"}], ["error"]),
        ({"format": "PKBarcodeFormatQR"}, ["error"]),
        ([{"format": "PKBarcodeFormatQR", "message": 5}], ["error"]),
    ],
)
def test_barcode_that_cannot_be_drawn_is_an_error_unless_another_can(barcodes: object, levels: list[str]) -> None:
    found = check_item({"barcodes": barcodes}, {}, {})
    assert [finding.level.value for finding in found] == levels, [str(finding) for finding in found]


@pytest.mark.parametrize(
    ("beside", "level"), [({}, "error"), ({"barcodes": [{"format": "PKBarcodeFormatQR"}]}, "warning")]
)
def test_deprecated_barcode_that_cannot_be_drawn_is_an_error_unless_there_are_others(
    beside: Content, level: str
) -> None:
    wrong = {"barcode": {"format": "PKBarcodeFormatITF", "message": "12"}}
    (finding,) = check_item(wrong, {}, beside)
    assert (finding.level.value, finding.path) == (level, "overrides.barcode.format")
    assert level in [finding.level.value for finding in check_pass(a_pass(**wrong, **beside))]


def test_item_can_remove_only_keys_that_apple_does_not_require() -> None:
    assert [finding.path for finding in check_item({"description": None, "logoText": None}, {}, {})] == [
        "overrides.description"
    ]


def test_problems_of_the_template_are_not_reported_for_an_item() -> None:
    template = a_pass("boardingPass", backgroundColor="Black", semantics={"seats": 5}, boardingPass={})
    assert check_item({"logoText": "x"}, {"a": {"value": "y"}}, template) == []


def test_unknown_key_gives_a_warning_in_an_item_too() -> None:
    (finding,) = check_item({"logoTxt": "x"}, {}, {})
    assert (finding.level, finding.path) == (Level.WARNING, "overrides.logoTxt")


def test_pass_designers_identifiers_have_no_findings() -> None:
    assert check_pass(with_field(_id="0F", value="x")) == []
    assert check_pass(tags(seats=[{"_id": "0F", "seatRow": "1"}])) == []


def test_secret_is_not_shown() -> None:
    (error,) = errors(a_pass(authenticationToken="short-secret"))
    assert "secret" not in error
    (error,) = errors(tags(wifiAccess=[{"ssid": "x", "password": ["hunter2"]}]))
    assert "hunter2" not in error


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["key", "value", "primaryFields", "format", "message", "date", "seats", "x"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(sorted(PASS_KEYS)), JSON, max_size=6), st.dictionaries(st.text(), JSON))
def test_any_content_gives_printable_findings_and_no_exception(content: Content, field: Content) -> None:
    findings = [*check_pass(content), *check_item(content, {"a": field}, content), *find_unwritable(content, "")]
    for finding in findings:
        assert str(finding).isprintable()
