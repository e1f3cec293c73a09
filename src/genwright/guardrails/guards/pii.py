"""Personal data that has a form: e-mail, payment card, IBAN, US social security number, phone (E.164), IP address.

A form alone is not enough: cards pass Luhn's check (ISO/IEC 7812-1), IBANs their length by country and mod 97 (ISO 13616),
SSNs lie in ranges that are issued, addresses parse. Knows no names, no streets, no national phone formats.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence

from genwright.errors import Invalid
from genwright.guardrails.types import Hit

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9_.+%-])(?<!://)[A-Za-z0-9_.+%-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
# Sixteen digits and more in groups of four; American Express and Diners; old JCB; short Maestro.
_CARD = re.compile(
    r"(?<![\w.+-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -]?)\d{6}\2\d{4,5}|(?:1800|2131)\d{11}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[123])\d{8})(?![\w-])(?!\.\d)"
)
_IBAN = re.compile(
    r"(?<![A-Za-z0-9])(?:[a-z]{2}\d{2}[a-z0-9]{11,30}|"
    r"[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,4})?))(?![A-Za-z0-9])"
)
_SSN = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
_PHONE = re.compile(r"(?<![\w+./-])\+[1-9]\d{0,2}(?:[ .-]?\(?\d{1,4}\)?){2,6}(?![\w-])")
_IPV4 = re.compile(r"(?<![\w.=-])(?:\d{1,3}\.){3}\d{1,3}(?![\w-])(?!\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:)[0-9A-Fa-f:]{3,39}(?:\.\d{1,3}){0,3}(?![\w:])")

# Length of an IBAN by country (SWIFT IBAN registry).
IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28,
    "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26,
    "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}  # fmt: skip


def luhn(digits: str) -> bool:
    """Whether the check digit is right."""
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)[int(digit)] for digit in digits[-2::-2])) % 10 == 0


def _card(found: str) -> int:
    digits = re.sub(r"\D", "", found)
    fits = len(digits) < 20 and (digits[0] in "23456" or digits.startswith("1800")) and len(set(digits)) > 1
    return len(found) if fits and luhn(digits) else 0


def _iban(found: str) -> int:
    """Length of the IBAN at the start of what was found: further words in capitals may follow it."""
    need = IBAN_LENGTH.get(found[:2].upper(), 0)
    taken = 0
    for at, char in enumerate(found):
        taken += char != " "
        if taken == need:
            if found[at + 1 : at + 2].isalnum():
                return 0
            code = found[: at + 1].replace(" ", "")
            return at + 1 if int("".join(str(int(char, 36)) for char in code[4:] + code[:4])) % 97 == 1 else 0
    return 0


def _phone(found: str) -> int:
    return len(found) if 8 <= sum(map(str.isdigit, found)) <= 15 else 0


def _ip(found: str) -> int:
    for text in (found, found.rstrip(".:")):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        # `::`, `::1`, `a::` are slices and notation more often than somebody's address.
        return len(text) if address.version == 4 or len(text.replace(":", "")) >= 8 else 0
    return 0


class _Form:
    """How one kind is found: a character it cannot do without, a pattern, a check that gives the length of what is real."""

    def __init__(self, mark: str, pattern: re.Pattern[str], real: Callable[[str], int], name: str):
        self.mark, self.pattern, self.real, self.name = mark, pattern, real, name


FORMS = {
    "email": _Form("@", _EMAIL, len, "an e-mail address"),
    "credit_card": _Form("", _CARD, _card, "a payment card number"),
    "iban": _Form("", _IBAN, _iban, "a bank account (IBAN)"),
    "us_ssn": _Form("-", _SSN, len, "a US social security number"),
    "phone": _Form("+", _PHONE, _phone, "a phone number"),
    "ip_address": _Form(".", _IPV4, _ip, "an IP address"),
    "ip_address_v6": _Form(":", _IPV6, _ip, "an IP address"),
}
KINDS = ("email", "credit_card", "iban", "us_ssn", "phone", "ip_address")
_SPACED = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 +()-./"
_MAX_SPACED = 48  # the longest account number, spaced
_RUN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.+%@:-"
_MAX_RUN = 640  # the longest e-mail
_DIGIT = re.compile(r"\d")


class Pii:
    """`kinds`: which of KINDS to look for; all without. A change puts `[EMAIL]`, `[CREDIT_CARD]` … in their place."""

    def __init__(self, kinds: Sequence[str] = KINDS):
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown or not kinds:
            raise Invalid(f"The guard 'pii' knows no kind {', '.join(unknown) or '(none given)'}. Kinds: {', '.join(KINDS)}.")
        self.kinds = tuple(kinds)
        self._forms = [(kind.removesuffix("_v6"), form) for kind, form in FORMS.items() if kind.removesuffix("_v6") in kinds]

    def check(self, text: str) -> list[Hit]:
        digits = _DIGIT.search(text) is not None
        found = [
            Hit(kind, f"The text holds {form.name}.", match.start(), match.start() + length, f"[{kind.upper()}]")
            for kind, form in self._forms
            if form.mark in text and (digits or kind == "email" or form.mark == ":")
            for match in form.pattern.finditer(text)
            if (length := form.real(match[0]))
        ]
        return in_order(found)

    def pending(self, text: str) -> int:
        """An e-mail or address is one run of characters; cards, accounts and phones are digits and capitals, spaced."""
        run = min(len(text.rstrip(_RUN)), max(len(text.rstrip(_SPACED)), len(text) - _MAX_SPACED))
        return max(run, len(text) - _MAX_RUN)


def in_order(hits: list[Hit]) -> list[Hit]:
    """Sorted by start, longest first; overlapping later ones left out."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (hit.start, -hit.end)):
        if not kept or hit.start >= kept[-1].end:
            kept.append(hit)
    return kept
