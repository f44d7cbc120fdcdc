"""Recognizes the apps that register devices: Apple Wallet, and Android apps that speak Apple's protocol.

An Android app has a push service of its own. Its push token means nothing to APNs, which would answer 400.
"""

from enum import Enum


class Wallet(Enum):
    """An app, by the name that events and log lines have."""

    APPLE = "apple"
    WALLET_PASSES = "wallet_passes"
    """`Authorization: AndroidPass ...`, `User-Agent: WalletPasses/...` (https://walletpasses.io/developer/)."""
    WALLET_UNION = "wallet_union"
    """`Authorization: WalletUnionPass ...`, on Huawei's phones `WalletUnionHMSPass` (https://walletunion.com/developer/)."""
    PASS2U = "pass2u"
    """`X-Pass-Client: Passes` (https://www.pass2u.net/apiPushNotification)."""
    OTHER = "other"
    """Another `X-Pass-Client`, such as `Passworks` (https://github.com/passworks/android-wallet-api)."""


SCHEMES = {
    "applepass": Wallet.APPLE,
    "androidpass": Wallet.WALLET_PASSES,
    "walletunionpass": Wallet.WALLET_UNION,
    "walletunionhmspass": Wallet.WALLET_UNION,
}
"""By the scheme of the `Authorization` header, compared without case (RFC 9110, section 11.1)."""
CLIENTS = {"passes": Wallet.PASS2U}
"""By the value of `X-Pass-Client`."""
PRODUCTS = {"walletpasses/": Wallet.WALLET_PASSES, "walletunion": Wallet.WALLET_UNION}
"""By a part of the `User-Agent` header."""


def wallet_of(*, authorization: str | None, pass_client: str | None, user_agent: str | None) -> Wallet:
    """Return the app that sent a request; Apple's unless a header names another one.

    Args:
        authorization: the `Authorization` header.
        pass_client: the `X-Pass-Client` header.
        user_agent: the `User-Agent` header.
    """
    if pass_client:
        return CLIENTS.get(pass_client.strip().lower(), Wallet.OTHER)
    by_scheme = SCHEMES.get((authorization or "").strip().partition(" ")[0].lower(), Wallet.APPLE)
    if by_scheme is not Wallet.APPLE:
        return by_scheme
    product = (user_agent or "").lower()
    return next((wallet for part, wallet in PRODUCTS.items() if part in product), Wallet.APPLE)
