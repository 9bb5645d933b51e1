"""Connections whose latest message was small."""

from collections import OrderedDict

SMALL_BYTES = 1024 * 1024
_MOST = 8192  # connections that are remembered, about 1 MB


class SmallSenders:
    """Connections that sent a small message last, so that the next one need not wait behind large ones of others.

    Nothing says how large a message is before it was read; what came last from there is the best guess.
    """

    def __init__(self) -> None:
        self._peers: OrderedDict[str, None] = OrderedDict()  # the one that was heard of longest ago first

    def __contains__(self, peer: str) -> bool:
        return peer in self._peers

    def sent(self, peer: str, count: int) -> None:
        """A message of so many bytes has come from there."""
        if count > SMALL_BYTES:
            self.forget(peer)
            return
        self._peers[peer] = None
        self._peers.move_to_end(peer)
        if len(self._peers) > _MOST:
            self._peers.popitem(last=False)

    def forget(self, peer: str) -> None:
        self._peers.pop(peer, None)
