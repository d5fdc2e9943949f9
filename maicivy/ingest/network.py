"""Client addresses: packed bytes, and behind proxies only those that the operator trusts."""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    from maicivy.config import Network

# 4 bytes of IPv4 or 16 of IPv6, in network order.
Address: TypeAlias = bytes

UNSPECIFIED = bytes(16)
_MAPPED = bytes(10) + b"\xff\xff"


class Proxies:
    """The networks of trusted proxies, and the clients behind them."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._networks = [
            (len(net.netmask.packed), int(net.netmask), int(net.network_address))
            for net in networks
        ]
        # A program has few peers that are proxies, and they send most of its requests.
        self._peer = lru_cache(maxsize=1024)(self._read_peer)

    def trust(self, peer: str | None) -> bool:
        """Say whether whoever is connected is a trusted proxy."""
        return self._peer(peer)[1]

    def client_address(self, peer: str | None, forwarded_for: str) -> Address:
        """Return the client's address.

        `X-Forwarded-For` is read from its end for as long as the sender is a trusted proxy; what
        stands before the first other address was written by strangers and is ignored.
        """
        address, is_trusted = self._peer(peer)
        if not is_trusted:
            return address
        for hop in reversed(forwarded_for.split(",")):
            previous = read_address(hop.strip())
            if previous == UNSPECIFIED:
                break
            address = previous
            if not self._holds(address):
                break
        return address

    def _read_peer(self, peer: str | None) -> tuple[Address, bool]:
        address = read_address(peer or "")
        return address, self._holds(address)

    def _holds(self, address: Address) -> bool:
        if not self._networks:
            return False
        number = int.from_bytes(address)
        return any(
            len(address) == length and number & mask == network
            for length, mask, network in self._networks
        )


def read_address(text: str) -> Address:
    """Read one address, with or without a port; anything else is the unspecified address."""
    try:
        if text.count(":") <= 1:
            return socket.inet_pton(socket.AF_INET, text.partition(":")[0])
        host = text[1:].partition("]")[0] if text.startswith("[") else text
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    except (OSError, ValueError):
        return UNSPECIFIED
    return packed[12:] if packed.startswith(_MAPPED) else packed
