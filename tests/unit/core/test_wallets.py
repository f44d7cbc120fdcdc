"""Apps are recognized by the headers that their own pages document."""

import pytest

from chalicelib.core.wallets import Wallet, wallet_of


@pytest.mark.parametrize(
    ("authorization", "pass_client", "user_agent", "wallet"),
    [
        ("ApplePass abc", None, "Wallet/1.0 CFNetwork/1410.0.3 Darwin/22.6.0", Wallet.APPLE),
        (None, None, None, Wallet.APPLE),
        ("AndroidPass abc", None, None, Wallet.WALLET_PASSES),
        ("androidpass abc", None, "okhttp", Wallet.WALLET_PASSES),
        ("ApplePass abc", None, "WalletPasses/1.5 (Linux; U; Android 14)", Wallet.WALLET_PASSES),
        ("WalletUnionPass abc", None, None, Wallet.WALLET_UNION),
        ("WalletUnionHMSPass abc", None, None, Wallet.WALLET_UNION),
        ("ApplePass abc", None, "WalletUnion/1.0 Passbook/1.0 (Linux; U; Android 6.0; LG-535D)", Wallet.WALLET_UNION),
        ("ApplePass abc", "Passes", None, Wallet.PASS2U),
        ("ApplePass abc", "Passworks", None, Wallet.OTHER),
    ],
)
def test_wallet_is_recognized(
    authorization: str | None, pass_client: str | None, user_agent: str | None, wallet: Wallet
) -> None:
    assert wallet_of(authorization=authorization, pass_client=pass_client, user_agent=user_agent) is wallet
