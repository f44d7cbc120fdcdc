"""How many devices a stage notifies per second."""

LANE_SHARE = 0.9
"""The share of the rate that one rollout can take; the rest remains for other changes."""
DEFAULT_GATEWAY_SHARE = 2 / 3
"""The share of the gateway's rate for notified phones by default."""
REQUESTS_PER_DEVICE = 2


def default_push_rate(throttle_rate: float) -> int:
    """Return the devices per second that a gateway of this rate can serve, with a third of the rate kept free."""
    return max(1, int(throttle_rate * DEFAULT_GATEWAY_SHARE / REQUESTS_PER_DEVICE))
