"""The simulator's books: payments, what each key did, an append-only double-entry ledger, webhooks to send. SQLite."""

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from payment_svc.providers.cards import DECLINES, WITH_ACTION, Card

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS payments (
    reference TEXT PRIMARY KEY, payment_id TEXT NOT NULL, order_id TEXT NOT NULL, card TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, status TEXT NOT NULL, code TEXT NOT NULL,
    captured INTEGER NOT NULL CHECK (captured IN (0, amount)), refunded INTEGER NOT NULL CHECK (refunded >= 0),
    captures INTEGER NOT NULL, changed INTEGER NOT NULL UNIQUE, CHECK (refunded <= captured));
CREATE TABLE IF NOT EXISTS keys (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, request TEXT NOT NULL, status INTEGER NOT NULL,
    answer TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deeds (key TEXT NOT NULL, status INTEGER NOT NULL, answer TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS deeds_by_key ON deeds (key);
CREATE TABLE IF NOT EXISTS ledger (
    id INTEGER PRIMARY KEY, reference TEXT NOT NULL, debit TEXT NOT NULL, credit TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, CHECK (debit <> credit));
CREATE TABLE IF NOT EXISTS notices (
    id TEXT NOT NULL, body TEXT NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS notices_by_due ON notices (due);
CREATE TRIGGER IF NOT EXISTS ledger_no_update BEFORE UPDATE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS ledger_no_delete BEFORE DELETE ON ledger
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""


class RefusedError(Exception):
    """It will not be done; the message is the code. What the refusal itself changed stays."""


@dataclass(slots=True)
class Account:
    """A payment as its row has it."""

    reference: str
    payment_id: str
    order_id: str
    card: str
    amount: int
    currency: str
    status: str
    code: str = ""
    captured: int = 0
    refunded: int = 0
    captures: int = 0
    changed: int = 0

    def document(self) -> dict[str, Any]:
        """What customers of this house see."""
        return {name: getattr(self, name) for name in self.__slots__ if name not in {"card", "changed"}}


class Books:
    """One connection, one user at a time; every change commits to the disk before it is answered."""

    def __init__(self, path: str) -> None:
        if path != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000"):
            self.db.execute(f"PRAGMA {pragma}")
        self.db.executescript(SCHEMA)

    def close(self) -> None:
        self.db.close()

    def transaction(self, work: Callable[[], Any]) -> Any:
        """Run `work` in a transaction."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            result = work()
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")
        return result

    def payment(self, reference: str) -> Account | None:
        row = self.db.execute("SELECT * FROM payments WHERE reference = ?", (reference,)).fetchone()
        return Account(**dict(row)) if row else None

    def changed_since(self, after: int, limit: int) -> list[Account]:
        """In the order of the last change."""
        rows = self.db.execute("SELECT * FROM payments WHERE changed > ? ORDER BY changed LIMIT ?", (after, limit))
        return [Account(**dict(row)) for row in rows]

    def totals(self) -> dict[str, Any]:
        """Per currency each account's debits minus credits: they sum to zero."""
        balances: dict[str, dict[str, int]] = {}
        for side, sign in (("debit", 1), ("credit", -1)):
            query = f"SELECT currency, {side} AS account, SUM(amount) AS total FROM ledger GROUP BY 1, 2"  # noqa: S608 - two fixed words
            for row in self.db.execute(query):
                accounts = balances.setdefault(row["currency"], {})
                accounts[row["account"]] = accounts.get(row["account"], 0) + sign * row["total"]
        return balances

    def remembered(self, key: str) -> tuple[str, int, str] | None:
        """The request and answer under a key, as long as it is kept."""
        row = self.db.execute("SELECT request, status, answer FROM keys WHERE key = ?", (key,)).fetchone()
        return tuple(row) if row else None

    def recorded(self, key: str) -> tuple[int, str] | None:
        """What was answered to the first request under a key, kept for ever."""
        row = self.db.execute("SELECT status, answer FROM deeds WHERE key = ? LIMIT 1", (key,)).fetchone()
        return tuple(row) if row else None

    def keep(self, key: str, request: str, status: int, answer: str, *, keys_kept: int) -> None:
        """Remember an answer; of the keys only the `keys_kept` newest, all if it is 0."""
        row = (key, request, status, answer)
        self.db.execute("INSERT INTO keys (key, request, status, answer) VALUES (?, ?, ?, ?)", row)
        self.db.execute("INSERT INTO deeds (key, status, answer) VALUES (?, ?, ?)", (key, status, answer))
        if keys_kept:
            forget = "DELETE FROM keys WHERE number <= (SELECT MAX(number) FROM keys) - ?"
            self.db.execute(forget, (keys_kept,))

    # What a customer may ask for; each in a transaction of the caller's.

    def authorize(self, request: Mapping[str, Any]) -> Account:
        card = Card(request["payment_method"])
        status = "declined" if card in DECLINES else "requires_action" if card in WITH_ACTION else "authorized"
        account = Account(
            f"pi_{uuid4().hex}",
            request["payment_id"],
            request["order_id"],
            card,
            request["amount"],
            request["currency"],
            status,
            code=DECLINES.get(card, ""),
        )
        if status == "authorized":
            self._post(account, "card_holds", "hold_obligations", account.amount)
        return self._save(account)

    def confirm(self, account: Account, _: Mapping[str, Any]) -> Account:
        if account.status == "requires_action":
            if account.card == Card.AUTHENTICATION_FAILS:
                account.status, account.code = "declined", "authentication_failed"
            else:
                account.status = "authorized"
                self._post(account, "card_holds", "hold_obligations", account.amount)
        return self._save(account)

    def capture(self, account: Account, request: Mapping[str, Any]) -> Account:
        """
        Raises:
            RefusedError: there is no hold of just this amount.
        """
        if account.status == "captured":
            return account
        if account.status == "authorized" and account.card == Card.CAPTURE_FAILS:
            self.void(account, {})
            raise RefusedError("capture_failed")
        if account.status != "authorized" or (request["amount"], request["currency"]) != (
            account.amount,
            account.currency,
        ):
            raise RefusedError("not_capturable")
        self._post(account, "hold_obligations", "card_holds", account.amount)
        self._post(account, "cardholders", "merchant", account.amount)
        account.status, account.captured, account.captures = "captured", account.amount, account.captures + 1
        return self._save(account)

    def void(self, account: Account, _: Mapping[str, Any]) -> Account:
        if account.status == "authorized":
            self._post(account, "hold_obligations", "card_holds", account.amount)
        if account.status != "captured":
            account.status = "voided"
        return self._save(account)

    def refund(self, account: Account, request: Mapping[str, Any]) -> Account:
        """
        Raises:
            RefusedError: it is more than what is left.
        """
        amount = request["amount"]
        if request["currency"] != account.currency or account.refunded + amount > account.captured:
            raise RefusedError("refund_exceeds_capture")
        self._post(account, "merchant", "cardholders", amount)
        account.refunded += amount
        return self._save(account)

    def _save(self, account: Account) -> Account:
        (newest,) = self.db.execute("SELECT COALESCE(MAX(changed), 0) FROM payments").fetchone()
        account.changed = newest + 1
        values = {name: getattr(account, name) for name in Account.__slots__}
        marks = ", ".join(f":{name}" for name in values)
        self.db.execute(f"INSERT OR REPLACE INTO payments ({', '.join(values)}) VALUES ({marks})", values)  # noqa: S608 - our own column names
        return account

    def _post(self, account: Account, debit: str, credit: str, amount: int) -> None:
        row = (account.reference, debit, credit, amount, account.currency)
        self.db.execute("INSERT INTO ledger (reference, debit, credit, amount, currency) VALUES (?, ?, ?, ?, ?)", row)
