"""API Gateway: the token buckets of the stage, of its methods, and of the account."""

import time

from .limits import Json, Limits, Module, TokenBucket

EVERY_METHOD = ("*", "*")


class Gateway:
    """Throttles requests to an API's stage with the token buckets of its method settings, and of the account.

    A method with settings of its own has a bucket of its own. All other methods of the stage share one. AWS describes
    the limits of a stage as applied "at the API method level", which may mean a bucket for each of those methods; one
    for all of them is stricter.
    """

    def __init__(self, limits: Limits, module: Module) -> None:
        self._limits = limits
        self._module = module
        self._buckets: dict[tuple[str, ...], TokenBucket] = {}
        self.refused = 0

    def install(self) -> None:
        self._module._check_throttle = self.check

    def check(
        self, stage: Json, api_id: str, stage_name: str, resource_path: str, http_method: str, _key: object
    ) -> object:
        """Take a token from each bucket of a request; returns ministack's error if one is empty, else None."""
        settings = {_method_of(name): entry for name, entry in (stage.get("methodSettings") or {}).items()}
        method = (resource_path, http_method)
        slot = method if method in settings else EVERY_METHOD
        entry = settings.get(slot, {})
        rate, burst = (entry.get(name) for name in ("throttlingRateLimit", "throttlingBurstLimit"))
        buckets = [
            self._bucket((api_id, stage_name, *slot), rate, burst),
            self._bucket((), self._limits.account_rate or None, self._limits.account_burst),
        ]
        now = time.monotonic()
        limited = [bucket for bucket in buckets if bucket is not None]
        if not all(bucket.admits(now) for bucket in limited):
            self.refused += 1
            return self._module._gw_error("THROTTLED", self._module._GATEWAY_ERROR_MESSAGES["THROTTLED"])
        for bucket in limited:
            bucket.take(1)
        return None

    def _bucket(self, slot: tuple[str, ...], rate: float | None, burst: float | None) -> TokenBucket | None:
        if rate is None:
            return None
        capacity = max(1.0, float(burst or 0))
        bucket = self._buckets.get(slot)
        if bucket is None or (bucket.rate, bucket.burst) != (rate, capacity):
            bucket = self._buckets[slot] = TokenBucket(rate=rate, burst=capacity, now=time.monotonic())
        return bucket


def _method_of(setting: str) -> tuple[str, str]:
    """Return path and HTTP method of the name of a method setting, such as `~1v1~1log/POST` or `/v1/log/POST`."""
    path, _, method = setting.rpartition("/")
    return path if path == "*" else "/" + path.replace("~1", "/").lstrip("/"), method
