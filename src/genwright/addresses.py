"""Which network addresses the house may call: the wall against server-side request forgery.

A URL that a member, a document or a provider's redirect names is parsed once, strictly; its host is resolved once; every
address of the answer is judged; and the connection goes to exactly that address (pinned), so a name that changes its answer
between check and use gains nothing. This file knows no HTTP and opens no connection.

Three classes of address:
* public: always reachable;
* private (loopback, RFC 1918, unique local, carrier-grade NAT): reachable when the operator allows all private addresses,
  or lists the host or its network;
* sealed (link-local, cloud metadata, unspecified, multicast, reserved, tunnels that hide an IPv4 address): reachable only
  where the operator lists that very network; "all private" and a listed host name do not open them.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from genwright.errors import Forbidden, Invalid, Upstream

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Own lists, not `ipaddress.is_global`: its answers changed between Python 3.11 and 3.13 (IANA special-purpose registries).
_PRIVATE = [
    ip_network(n)
    for n in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "100.64.0.0/10", "::1/128", "fc00::/7")
]
_METADATA = {
    ip_address(a)
    for a in (
        "169.254.169.254",
        "169.254.170.2",
        "168.63.129.16",
        "100.100.100.200",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
}
_SEALED = {
    "link-local": ("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    "unspecified": ("0.0.0.0/8", "::/128"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
    "reserved": (
        "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
        "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16", "2620:4f:8000::/48",
    ),
    # An IPv4 address inside an IPv6 one: a check of the outer form alone would be blind to the inner.
    "a tunnel or translation": ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"),
}  # fmt: skip
_SEALED_NETWORKS = [(ip_network(n), why) for why, networks in _SEALED.items() for n in networks]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes: `scheme` http or https, `host` lower case without brackets, `port` 1 to 65535."""

    scheme: str
    host: str
    port: int
    literal: Address | None = None
    key: str = ""
    """The whole origin as one string: hashing it is what the pool look-up of every call costs."""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def _bad_url(message: str) -> Invalid:
    return Invalid(message, code="invalid_url")


@lru_cache(maxsize=1024)  # the same few provider addresses on every call of the hot path
def parse_url(url: str) -> tuple[Origin, str]:
    """Split an absolute http(s) URL into its origin and request target (path and query); the fragment is dropped.

    Strict on purpose: what browsers and libraries read differently (user info, backslashes, octal, hexadecimal or short
    IPv4 forms, non-ASCII hosts) is refused, not interpreted.
    Raises `Invalid` (code `invalid_url`).
    """
    if not url.isascii() or any(c <= " " or c in "\\\x7f" for c in url):
        raise _bad_url(f"refused the URL {url!r}: only printable ASCII without spaces and backslashes is accepted")
    match = _URL.fullmatch(url.partition("#")[0])
    if match is None:
        raise _bad_url(f"refused the URL {url!r}: not an absolute http or https URL")
    scheme, authority, target = match["scheme"].lower(), match["authority"].lower(), match["target"]
    if scheme not in _DEFAULT_PORTS:
        raise _bad_url(f"refused the URL {url!r}: the scheme {scheme!r} is not http or https")
    if "@" in authority:
        raise _bad_url("refused the URL: a user name or password in it is not accepted; use a header or a secret instead")
    host, port, literal = _parse_authority(authority, scheme, url)
    if not target.startswith("/"):
        target = "/" + target
    return Origin(scheme, host, port, literal, f"{scheme}://{host}:{port}"), target


def _parse_authority(authority: str, scheme: str, url: str) -> tuple[str, int, Address | None]:
    literal: Address | None = None
    if authority.startswith("["):
        host, closed, rest = authority[1:].partition("]")
        try:
            literal = IPv6Address(host)
        except ValueError:
            closed = ""
        if not closed or "%" in host or (rest and not rest.startswith(":")):
            raise _bad_url(f"refused the URL {url!r}: not a valid IPv6 address in brackets (zones are not accepted)")
        host, port_text = str(literal), rest[1:]
    else:
        host, _, port_text = authority.partition(":")
        host = host.removesuffix(".")
        if not _HOST.fullmatch(host) or len(host) > 253:
            raise _bad_url(f"refused the URL {url!r}: not a valid host name")
        if _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
            try:
                literal = IPv4Address(host)  # refuses leading zeros, fewer than four parts, hexadecimal
            except ValueError:
                raise _bad_url(f"refused the URL {url!r}: write an IPv4 address as four decimal numbers") from None
    if not port_text:
        return host, _DEFAULT_PORTS[scheme], literal
    if not port_text.isdigit() or not 1 <= int(port_text[:6]) <= 65535:
        raise _bad_url(f"refused the URL {url!r}: not a valid port")
    return host, int(port_text), literal


def classify(address: Address) -> str:
    """`"public"`, `"private"`, or why the address is sealed (`"link-local"`, `"cloud metadata"`, …)."""
    if address in _METADATA:
        return "cloud metadata"
    if any(address in n for n in _PRIVATE if n.version == address.version):
        return "private"
    for network, why in _SEALED_NETWORKS:
        if network.version == address.version and address in network:
            return why
    return "public"


@dataclass(slots=True)
class AddressGuard:
    """Judges origins by the operator's settings.

    `allow`: True (all private addresses), False (public only), or entries: a host name, `*.suffix`, an address, a network in
    CIDR form; a host name or address may end in `:port` (IPv6 then in brackets). Bad entries raise `Invalid`.
    """

    allow: bool | Iterable[str]
    _all_private: bool = field(init=False, default=False)
    _hosts: set[tuple[str, int | None]] = field(init=False, default_factory=set)
    _networks: list[tuple[Network, int | None]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        if isinstance(self.allow, bool):
            self._all_private = self.allow
            return
        if isinstance(self.allow, str):
            raise Invalid("allowed private addresses (private_hosts) are a list of hosts and networks, not one string")
        for entry in self.allow:
            self._add(entry.strip().lower())

    def _add(self, entry: str) -> None:
        host, port = entry, None
        if match := re.fullmatch(r"(?:\[([^\]]+)\]|([^:/]+)):(\d{1,5})", entry):
            host, port = match[1] or match[2], int(match[3])
        try:
            self._networks.append((ip_network(host.strip("[]")), port))
        except ValueError:
            if not _HOST.fullmatch(host.removeprefix("*.")) or _NUMERIC_LABEL.fullmatch(host.rpartition(".")[2]):
                raise Invalid(
                    f"{entry!r} in the allowed private addresses (private_hosts) is neither a host name nor a network "
                    "such as 10.0.0.0/8"
                ) from None
            self._hosts.add((host, port))

    def check(self, origin: Origin, address: Address) -> None:
        """Raise `Forbidden` (code `address_refused`) unless `origin`, resolved to `address`, may be called."""
        kind = classify(address)
        if kind == "public":
            return
        for network, port in self._networks:
            if network.version == address.version and address in network and port in (None, origin.port):
                return
        if kind == "private" and (self._all_private or self._names(origin)):
            return
        where = str(address) if origin.literal else f"{origin.host} ({address})"
        raise Forbidden(
            f"refused to call {where}: a {kind} address; nothing was sent. "
            "If this service is yours, list its host or network in the setting private_hosts",
            code="address_refused",
        )

    def _names(self, origin: Origin) -> bool:
        if not self._hosts:
            return False
        labels = origin.host.split(".")
        names = [origin.host, *("*." + ".".join(labels[i:]) for i in range(1, len(labels)))]
        return any((name, port) in self._hosts for name in names for port in (None, origin.port))

    async def resolve(self, origin: Origin) -> list[Address]:
        """The addresses to connect to, in order of preference, every one allowed.

        One refused address among the answers refuses all: a mixed answer is how rebinding attacks look.
        Raises `Forbidden` (code `address_refused`), or `Upstream` (code `upstream_unreachable`) when the name has no address.
        """
        if origin.literal is not None:
            addresses: list[Address] = [origin.literal]
        else:
            loop = asyncio.get_running_loop()
            try:
                found = await loop.getaddrinfo(origin.host, origin.port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise Upstream(
                    f"could not find the host {origin.host!r} ({error}); nothing was sent. Check the address and the name server",
                    code="upstream_unreachable",
                    sent=False,
                ) from error
            addresses = list(dict.fromkeys(ip_address(info[4][0]) for info in found))
        for address in addresses:
            self.check(origin, address)
        return addresses
