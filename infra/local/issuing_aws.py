"""Makes ministack's Secrets Manager ask the local authority for the secrets of a pass type that has none.

Like `strict/`, this runs on ministack's own Python and imports nothing but the standard library.
"""

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

READS = ("GetSecretValue", "DescribeSecret")
NAME = re.compile(r"(passwire/local)/(pass-types|apns-keys)/(pass\.[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)")
BAD_REQUEST = 400

Json = dict[str, Any]
Response = tuple[int, dict[str, str], bytes | str]
Handler = Callable[[str, str, dict[str, str], bytes, Json], Awaitable[Response]]


class IssuingSecrets:
    """Creates the secrets of a pass type when they are read for the first time.

    Args:
        inner: ministack's handler.
        url: of the authority (`authority.py`).
    """

    def __init__(self, inner: Handler, url: str) -> None:
        self._inner = inner
        self._url = url
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._creating = asyncio.Lock()

    async def handle(self, method: str, path: str, headers: dict[str, str], body: bytes, query: Json) -> Response:
        response = await self._inner(method, path, headers, body, query)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        if response[0] != BAD_REQUEST or action not in READS or "ResourceNotFoundException" not in _text(response[2]):
            return response
        name = NAME.fullmatch(str(json.loads(body).get("SecretId")))
        if name is None:
            return response
        async with self._creating:
            if not await self._exists(f"{name[1]}/pass-types/{name[3]}", headers):
                try:
                    contents = await asyncio.to_thread(self._issue, name[3])
                except (OSError, ValueError):
                    return response
                for folder, content in zip(("pass-types", "apns-keys"), contents, strict=True):
                    await self._create(f"{name[1]}/{folder}/{name[3]}", content, headers)
        return await self._inner(method, path, headers, body, query)

    def _issue(self, pass_type_identifier: str) -> list[Json]:
        request = urllib.request.Request(f"{self._url}/{quote(pass_type_identifier)}", method="POST")  # noqa: S310 - ours
        with self._opener.open(request, timeout=30) as answer:
            contents: list[Json] = json.loads(answer.read())
        return contents

    async def _exists(self, name: str, headers: dict[str, str]) -> bool:
        return (await self._call("DescribeSecret", {"SecretId": name}, headers))[0] != BAD_REQUEST

    async def _create(self, name: str, content: Json, headers: dict[str, str]) -> None:
        await self._call("CreateSecret", {"Name": name, "SecretString": json.dumps(content)}, headers)

    async def _call(self, action: str, data: Json, headers: dict[str, str]) -> Response:
        target = {**headers, "x-amz-target": f"secretsmanager.{action}"}
        return await self._inner("POST", "/", target, json.dumps(data).encode(), {})


def _text(body: bytes | str) -> str:
    return body.decode("utf-8", "replace") if isinstance(body, bytes) else body
