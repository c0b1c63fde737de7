"""Passwords: which are accepted, and how they are hashed without stalling everybody else."""

import asyncio
import ctypes
import re
import string
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.resources import files
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auth_svc.domain.errors import BusyError, WeakPasswordError

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 128
MAX_WAITING: Final = 16
QUIET_SECONDS: Final = 0.5
"""After so long without a hash their memory is given back. While one follows the other it is kept: to get it anew from
the system makes a hash half as expensive again."""

_M_ARENA_MAX: Final = -8
"""`mallopt`'s number for it, in glibc's malloc.h."""
_SEQUENCES: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890123456789",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm",
    "1q2w3e4r5t6y7u8i9o0p",
)
_LEET: Final = str.maketrans("013457@$!|", "oieastasil")
_DECORATION: Final = string.digits + string.punctuation + string.whitespace
_NO_LETTER: Final = re.compile(r"[^a-z]+")


def check_password(password: str, email: str) -> None:
    """Refuse what an attacker tries first: common words dressed up, keyboard runs, repetitions, the own address.

    Nothing is trimmed, folded or cut before hashing.

    Raises:
        WeakPasswordError: with a sentence that says what to do.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise WeakPasswordError(f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.")
    plain = unicodedata.normalize("NFKC", password).casefold()
    if _is_repetition(plain) or _is_sequence(plain):
        raise WeakPasswordError("Repetitions and keyboard runs are guessed first; take several unrelated words.")
    if _is_dressed_up_word(plain):
        raise WeakPasswordError("It is a common word with decoration; take several unrelated words.")
    local = email.partition("@")[0]
    if len(local) >= 4 and local in plain and len(plain) - len(local) < 8:
        raise WeakPasswordError("It is made of your e-mail address; take several unrelated words.")


class Hasher:
    """Argon2id in one or two threads of its own. At 20 ms each a hash on the event loop would stall every request."""

    def __init__(self, *, memory_kib: int = 19_456, passes: int = 2, threads: int = 1) -> None:
        _share_one_arena()
        self._argon2 = PasswordHasher(time_cost=passes, memory_cost=memory_kib, parallelism=1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="argon2")
        self._waiting = 0
        self._quiet: asyncio.TimerHandle | None = None
        self._nobody = self._argon2.hash("a password nobody has")

    @property
    def busy(self) -> bool:
        return self._waiting >= MAX_WAITING

    async def hash(self, password: str) -> str:
        """The encoded hash, parameters and salt included.

        Raises:
            BusyError: too many wait already.
        """
        return str(await self._run(self._argon2.hash, password))

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; just as slow when there is no hash to compare with.

        Raises:
            BusyError: too many wait already.
        """
        return bool(await self._run(self._verify, password_hash, password))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether it was made with weaker parameters than today's."""
        return self._argon2.check_needs_rehash(password_hash)

    async def _run(self, work: Callable[..., object], *arguments: object) -> object:
        if self.busy:
            raise BusyError
        self._waiting += 1
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, work, *arguments)
        finally:
            self._waiting -= 1
            if self._quiet is not None:
                self._quiet.cancel()
            self._quiet = loop.call_later(QUIET_SECONDS, self._pool.submit, _give_memory_back)

    def _verify(self, password_hash: str | None, password: str) -> bool:
        try:
            matches = self._argon2.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return matches and password_hash is not None


# glibc keeps what was freed for the next time: a hash's 19 MiB, however long that takes. `malloc_trim` returns it, but
# not from the end of an arena that a thread got for itself, which is where a hash's memory is. Other allocators have
# neither function, and their own ways.


def _share_one_arena() -> None:
    """Let threads that start from now on take memory where the main thread does."""
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 1)


def _give_memory_back() -> None:
    """Return what is free to the system."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)


@cache
def common_words() -> frozenset[str]:
    """The words that lists of leaked passwords are made of."""
    text = files("auth_svc").joinpath("common_words.txt").read_text()
    return frozenset(text.split())


def _is_repetition(text: str) -> bool:
    """One short piece again and again: `aaaaaaaaaaaa`, `abcabcabcabc`, `passwordpassword`."""
    return any(
        text == (text[:size] * (len(text) // size + 1))[: len(text)] for size in range(1, min(len(text) // 2, 12) + 1)
    )


def _is_sequence(text: str) -> bool:
    """A run along the alphabet, the digits or the keyboard, forwards or backwards, with little else."""
    squeezed = re.sub(r"[^a-z0-9]", "", text)
    for sequence in _SEQUENCES:
        for run in (sequence * 2, sequence[::-1] * 2):
            if len(squeezed) >= 8 and squeezed in run:
                return True
    return False


def _is_dressed_up_word(text: str) -> bool:
    """Digits only, or one or two common words with digits, signs or look-alike characters around or inside them."""
    if not text.isascii():
        return False
    core = text.strip(_DECORATION)
    if not core:
        return True
    start = text.index(core)
    end = start + len(core)
    # `@ngel2024` and `honda0@`: a look-alike may stand at the word's edge
    spellings = {text[max(0, start - left) : end + right] for left in range(3) for right in range(3)}
    return any(
        _is_made_of_words(_NO_LETTER.sub("", form))
        for spelling in spellings
        for form in (spelling, spelling.translate(_LEET))
    )


def _is_made_of_words(letters: str) -> bool:
    words = common_words()
    if not letters or letters in words:
        return True
    if any(letters[:cut] in words and letters[cut:] in words for cut in range(3, len(letters) - 2)):
        return True
    # `letmein2024abc`: at most two stray letters on either side of the word
    ends = range(len(letters) - 2, len(letters) + 1)
    return any(letters[start:end] in words for start in range(3) for end in ends)
