"""The limits on which the protocol relies, and other constants of all schedules."""

import math

from chalicelib.updates.protocol import window_seconds

PASS_TYPE = "pass.com.example.world"
PUSH_TIMEOUT_SECONDS = 20
API_TIMEOUT_SECONDS = 10
GRACE_SECONDS = 240
JUMP_SECONDS = 70
WORKER_TIMEOUT_SECONDS = 120
WINDOW_SECONDS = window_seconds(push_timeout_seconds=PUSH_TIMEOUT_SECONDS)
FOREVER = math.inf
