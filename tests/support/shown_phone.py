"""A phone of the local run's page, with a pass and two waiting pushes."""

import io
import json
import zipfile

from infra.local.page.shown_phone import ShownPhone
from infra.local.phone import InstalledPass, Phone

KEY = ("pass.com.acme.boarding", "1")


def phone_with_a_pass() -> ShownPhone:
    content = {"passTypeIdentifier": KEY[0], "serialNumber": KEY[1]}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        members.writestr("pass.json", json.dumps(content))
    installed = InstalledPass.open(
        archive.getvalue(), language="de", last_modified="Thu, 26 Nov 2026 10:00:00 GMT", verify=False
    )
    shown = ShownPhone(3, Phone(language="de", passes={KEY: installed}, tags={KEY[0]: "17"}), is_on=False)
    shown.waiting.keep(KEY[0], {"apns-expiration": "2000000000"})
    shown.waiting.keep(KEY[0], {"apns-expiration": "2000000000"})
    return shown
