"""A program that measures django-walletpass in process, with SQLite in memory; its last line is the result as JSON.

    python -I -S -B walletpass.py FOLDER CALL COUNT PASS

It calls Django's WSGI handler: the first time, and then COUNT times. A download returns the file that was stored when
the pass changed; it is not signed again.
"""

import io
import json
import sys
import time
from typing import Any

folder, call, count, archive = sys.argv[1:]
sys.path.insert(0, folder)

import django  # type: ignore[import-not-found]  # noqa: E402 - the benchmark installs it into the folder
from django.conf import settings  # type: ignore[import-not-found]  # noqa: E402

PASS_TYPE = "pass.com.example.peer"
PASSES = 3
"""The number of passes that the device holds."""
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_framework", "django_walletpass"],
    ROOT_URLCONF="django_walletpass.urls",
    STORAGES={"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}},
    WALLETPASS={"PASS_TYPE_ID": PASS_TYPE, "SERVICE_URL": "https://example.com", "TEAM_ID": "TEAM"},
    SECRET_KEY="benchmark",
    ALLOWED_HOSTS=["*"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.core.files.base import ContentFile  # type: ignore[import-not-found]  # noqa: E402
from django.core.handlers.wsgi import WSGIHandler  # type: ignore[import-not-found]  # noqa: E402
from django.core.management import call_command  # type: ignore[import-not-found]  # noqa: E402
from django_walletpass.models import Pass, Registration  # type: ignore[import-not-found]  # noqa: E402

call_command("migrate", verbosity=0)
with open(archive, "rb") as file:  # noqa: PTH123 - as in first_call.py
    content = file.read()
for number in range(PASSES):
    stored = Pass(pass_type_identifier=PASS_TYPE, serial_number=f"S{number}", authentication_token="token")
    stored.data.save(f"S{number}.pkpass", ContentFile(content), save=False)
    stored.save()
    Registration(device_library_identifier="device", push_token="push", pazz=stored).save()


def environ(number: int) -> dict[str, Any]:
    body = json.dumps({"pushToken": f"{number:064x}"}).encode() if call == "register" else b""
    path = {
        "register": f"/v1/devices/device{number}/registrations/{PASS_TYPE}/S0",
        "list": f"/v1/devices/device/registrations/{PASS_TYPE}",
        "download": f"/v1/passes/{PASS_TYPE}/S0",
    }[call]
    return {
        "REQUEST_METHOD": "POST" if call == "register" else "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/json",
        "HTTP_AUTHORIZATION": "ApplePass token",
    }


statuses: set[str] = set()
application = WSGIHandler()


def serve(request: dict[str, Any]) -> bytes:
    return b"".join(application(request, lambda status, _headers, _error=None: statuses.add(status)))


requests = [environ(number) for number in range(int(count) + 1)]
serve(requests[0])
started = time.process_time()
for request in requests[1:]:
    serve(request)
spent = time.process_time() - started
sys.stdout.write(json.dumps({"warm_cpu_ms": spent * 1000 / int(count), "statuses": sorted(statuses)}))
