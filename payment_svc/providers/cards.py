"""The test payment methods both simulated providers know, under Stripe's test names where Stripe has one."""

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Card(StrEnum):
    """What stands on each: the decline it meets, or the trouble it makes."""

    VISA = "pm_card_visa"
    DECLINED = "pm_card_chargeDeclined"
    INSUFFICIENT_FUNDS = "pm_card_insufficientFunds"
    AUTHENTICATION_REQUIRED = "pm_card_authenticationRequired"
    AUTHENTICATION_FAILS = "pm_card_authenticationFails"
    CAPTURE_FAILS = "pm_card_captureFails"
    SLOW = "pm_card_slow"
    LOST_ANSWER = "pm_card_lostAnswer"


DECLINES: Final = MappingProxyType({Card.DECLINED: "card_declined", Card.INSUFFICIENT_FUNDS: "insufficient_funds"})
WITH_ACTION: Final = frozenset({Card.AUTHENTICATION_REQUIRED, Card.AUTHENTICATION_FAILS})
KNOWN: Final = frozenset(card.value for card in Card)
ACTION: Final = MappingProxyType({"type": "simulated_authentication"})
