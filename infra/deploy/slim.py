"""Prunes and compiles Chalice's zip; the same content results in the same bytes.

Chalice's zip has every dependency of its command line and every service that botocore knows, all as source code.
Lambda's file system is read-only, so that modules without compiled code are compiled again at every cold start.
Libraries are deployed without their sources: a traceback has their line numbers. The service's own sources are kept, so
that a traceback shows their lines.
"""

import gzip
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from chalicelib import roots

OWN = ("app.py", "chalicelib")
LIBRARIES = (
    "botocore",
    "chalice",
    "cryptography",
    "dateutil",
    "h2",
    "hpack",
    "hyperframe",
    "jinja2",
    "jmespath",
    "jwt",
    "markupsafe",
    "orjson",
    "pynamodb",
    "six.py",
    "urllib3",
)
"""The top-level names that the functions import, with their dependencies."""
BINARIES = ("_cffi_backend.", "zint.")
"""Prefixes of extension modules at the top level."""
NEVER_IMPORTED = (
    "botocore/crt/auth.py",
    "botocore/docs/translator.py",
    "chalice/cli/",
    "chalice/deploy/",
    "dateutil/tz/win.py",
    "dateutil/tzwin.py",
    "dateutil/zoneinfo/",
    "urllib3/contrib/emscripten/",
    "urllib3/contrib/pyopenssl.py",
    "urllib3/contrib/socks.py",
)
"""Files of the libraries for Windows, browsers, libraries that are not installed, and Chalice's command line."""
MOZILLAS_ROOTS = "certifi/cacert.pem"
OPERATIONS: Mapping[str, frozenset[str]] = {
    "dynamodb": frozenset(
        {
            "BatchGetItem",
            "DeleteItem",
            "GetItem",
            "Query",
            "TransactWriteItems",
            "UpdateItem",
        }
    ),
    "events": frozenset({"PutEvents"}),
    "s3": frozenset({"GetObject"}),
    "secretsmanager": frozenset({"GetSecretValue", "ListSecrets"}),
    "sqs": frozenset({"ChangeMessageVisibility", "SendMessageBatch"}),
}
"""Every operation that a function calls. botocore's description of the others is removed: reading all operations of
DynamoDB and S3 would take a third of a cold start.
"""
SHARED_DATA = ("_retry.json", "endpoints.json", "partitions.json", "sdk-default-configuration.json")
SERVICE_DATA = ("service-2", "service-2.sdk-extras", "endpoint-rule-set-1")
"""The files that botocore reads to call a service; the others are for paginators, waiters and documentation."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", re.DOTALL)
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member, so that the same content results in the same zip."""
FILE_MODE = 0o100644 << 16


class CompilationError(Exception):
    """A library does not compile with the running version of Python. The message names the file."""


def slim_down(original: Path, slim: Path) -> None:
    """Write a pruned and compiled copy of a zip.

    Args:
        original: Chalice's zip.
        slim: the zip to write.

    Raises:
        CompilationError: a file does not compile with the running version of Python.
        OSError: `openssl` is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(original) as archive:
            archive.extractall(folder, [member for member in archive.namelist() if _runs(member)])
        _slim_data(folder / "botocore" / "data")
        _spread_roots(folder / MOZILLAS_ROOTS, folder / roots.FOLDER.name)
        (folder / "botocore" / "cacert.pem").unlink()
        _compile(folder)
        with zipfile.ZipFile(slim, "w") as archive:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EPOCH)
                member.external_attr = FILE_MODE
                archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED, compresslevel=9)


def _runs(member: str) -> bool:
    top = member.partition("/")[0]
    if top.startswith(BINARIES) or member == MOZILLAS_ROOTS:
        return True
    if top not in OWN + LIBRARIES or member.startswith(NEVER_IMPORTED) or "/tests/" in member:
        return False
    return not member.endswith((".pyc", ".pyi", "py.typed", ".c", ".h", ".pyx"))


def _compile(folder: Path) -> None:
    """Compile in a new process: how a code object is written depends slightly on what its process compiled before."""
    interpreter = [sys.executable, "-I", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    own = [str(folder / name) for name in OWN]
    libraries = sorted(str(path) for path in folder.iterdir() if path.name in LIBRARIES)
    for targets, beside in ((own, []), (libraries, ["-b"])):
        done = subprocess.run(
            [*interpreter, *beside, "-s", str(folder), *targets], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CompilationError(f"a library does not compile: {done.stdout.strip().splitlines()[0]}")
    for target in map(Path, libraries):
        for source in [target] if target.is_file() else target.rglob("*.py"):
            source.unlink()


def _slim_data(data: Path) -> None:
    """Keep what botocore reads to call `OPERATIONS`, as plain JSON, since the zip is compressed."""
    for path in data.iterdir():
        if path.is_dir() and path.name not in OPERATIONS:
            shutil.rmtree(path)
        elif path.is_file() and path.name not in SHARED_DATA:
            path.unlink()
    for service, operations in OPERATIONS.items():
        _slim_service(data / service, operations)
    endpoints = _read(data / "endpoints.json")
    for partition in endpoints["partitions"]:
        partition["services"] = {name: of for name, of in partition["services"].items() if name in OPERATIONS}
    _write(data / "endpoints.json", endpoints)


def _slim_service(service: Path, operations: frozenset[str]) -> None:
    """Keep the newest version of the service, which botocore uses by default."""
    newest = max(path.parent for path in service.glob("*/service-2.json*"))
    for version in service.iterdir():
        if version != newest:
            shutil.rmtree(version)
    for path in list(newest.iterdir()):
        kind = path.name.removesuffix(".gz").removesuffix(".json")
        content = _read(path)
        path.unlink()
        if kind in SERVICE_DATA:
            _write(newest / f"{kind}.json", _pruned(content, operations) if kind == "service-2" else content)


def _spread_roots(bundle: Path, folder: Path) -> None:
    """Write each of Mozilla's roots to the file that OpenSSL reads when it verifies a chain (`chalicelib/roots.py`)."""
    folder.mkdir()
    for number, root in enumerate(_CERTIFICATE.findall(bundle.read_text())):
        (folder / f"{number:03}.pem").write_text(root)
    shutil.rmtree(bundle.parent)
    subprocess.run(["openssl", "rehash", str(folder)], check=True, capture_output=True)
    for link in [path for path in folder.iterdir() if path.is_symlink()]:
        content = link.read_bytes()
        link.unlink()
        link.write_bytes(content)
    for numbered in folder.glob("*.pem"):
        numbered.unlink()


def _pruned(model: dict[str, Any], operations: frozenset[str]) -> dict[str, Any]:
    """Return a service's description with some operations and the shapes that they refer to."""
    kept = {name: model["operations"][name] for name in sorted(operations)}
    reached: set[str] = set()
    ahead = list(_referred(kept))
    while ahead:
        shape = ahead.pop()
        if shape not in reached:
            reached.add(shape)
            ahead.extend(_referred(model["shapes"][shape]))
    shapes = {name: shape for name, shape in model["shapes"].items() if name in reached}
    return {**model, "operations": _undocumented(kept), "shapes": _undocumented(shapes)}


def _referred(description: object) -> Iterator[str]:
    """Return the names of the shapes that a part of a description refers to."""
    if isinstance(description, dict):
        if isinstance(description.get("shape"), str):
            yield description["shape"]
        for part in description.values():
            yield from _referred(part)
    elif isinstance(description, list):
        for part in description:
            yield from _referred(part)


def _read(path: Path) -> dict[str, Any]:
    raw = path.read_bytes()
    content: dict[str, Any] = json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)
    return content


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")))


def _undocumented(content: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(content, dict):
        return {k: _undocumented(v) for k, v in content.items() if not (k == "documentation" and isinstance(v, str))}
    return [_undocumented(part) for part in content] if isinstance(content, list) else content
