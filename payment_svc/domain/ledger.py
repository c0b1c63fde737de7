"""The double-entry ledger: postings that only ever get more, each a debit and a credit of the same amount.

A posting is one row that names both accounts, so every row and the whole ledger sum to zero per
currency by construction: there is no way to write one side only. Balances are debits minus credits.

| account            | balance means                                                        |
|--------------------|----------------------------------------------------------------------|
| `card_holds`       | held on customers' cards for us and not taken (debit)                |
| `hold_obligations` | the same seen from the other side: what we must take or let go       |
| `provider_balance` | our money at the provider: captured minus refunded (debit)           |
| `sales`            | captured (credit)                                                    |
| `refunds`          | given back (debit)                                                   |
"""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from contracts.money import Money


class Account(StrEnum):
    """Where money can be."""

    CARD_HOLDS = "card_holds"
    HOLD_OBLIGATIONS = "hold_obligations"
    PROVIDER_BALANCE = "provider_balance"
    SALES = "sales"
    REFUNDS = "refunds"


@dataclass(frozen=True, slots=True)
class Posting:
    """`amount` goes to `debit` from `credit`. `fact` names why; it can be posted once only.

    Raises:
        ValueError: nothing moves, or it moves nowhere.
    """

    fact: str
    debit: Account
    credit: Account
    amount: Money

    def __post_init__(self) -> None:
        if not self.amount or self.debit is self.credit:
            raise ValueError("a posting moves a positive amount between two accounts")


def held(payment_id: UUID, amount: Money) -> Posting:
    """The provider holds the amount on the customer's card."""
    return Posting(f"payment:{payment_id}:held", Account.CARD_HOLDS, Account.HOLD_OBLIGATIONS, amount)


def hold_ended(payment_id: UUID, amount: Money) -> Posting:
    """The hold is gone: taken or let go."""
    return Posting(f"payment:{payment_id}:hold_ended", Account.HOLD_OBLIGATIONS, Account.CARD_HOLDS, amount)


def captured(payment_id: UUID, amount: Money) -> Posting:
    """The amount was taken."""
    return Posting(f"payment:{payment_id}:captured", Account.PROVIDER_BALANCE, Account.SALES, amount)


def refunded(refund_id: UUID, amount: Money) -> Posting:
    """The amount was given back."""
    return Posting(f"refund:{refund_id}:refunded", Account.REFUNDS, Account.PROVIDER_BALANCE, amount)
