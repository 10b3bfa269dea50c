"""A TCP proxy before a broker that holds back one request, as a network or a busy broker may.

To the client it looks like a lost connection, so it sends the request again on another one. What was held
reaches the broker when the test says so.
"""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Final

END_TXN: Final = 26  # the protocol's number of the request
LENGTH_BYTES = 4
CHUNK = 1 << 16


class HoldingProxy:
    """Listens on `port`, passes everything on to `connect_to`, once that is set."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connect_to = 0  # the broker's port
        self._wanted: int | None = None
        self._held: tuple[socket.socket, bytes] | None = None
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._is_answered = threading.Event()
        self.is_held = threading.Event()
        self._start(self._accept)

    def hold_next(self, api_key: int) -> None:
        """Hold the next request of this kind."""
        self._wanted = api_key

    def release(self, timeout_s: float = 10.0) -> bool:
        """Let the held request go to the broker; whether that has answered it."""
        assert self._held is not None, "nothing is held"
        broker, frame = self._held
        self._is_answered.clear()
        broker.sendall(frame)
        return self._is_answered.wait(timeout_s)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                try:
                    broker = socket.create_connection(("127.0.0.1", self.connect_to))
                except OSError:  # no broker any more
                    client.shutdown(socket.SHUT_RDWR)
                    continue
                self._open.append(broker)
                self._start(self._pass_requests, client, broker)
                self._start(self._pass_answers, client, broker)

    def _start(self, work: Callable[..., None], *sockets: socket.socket) -> None:
        thread = threading.Thread(target=work, args=sockets, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _pass_requests(self, client: socket.socket, broker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while frame := _frame(client):
                if int.from_bytes(frame[LENGTH_BYTES : LENGTH_BYTES + 2], "big") == self._wanted:
                    self._wanted, self._held = None, (broker, frame)
                    self.is_held.set()
                    client.shutdown(socket.SHUT_RDWR)
                    return
                broker.sendall(frame)
            broker.shutdown(socket.SHUT_RDWR)

    def _pass_answers(self, client: socket.socket, broker: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := broker.recv(CHUNK):
                if self._held is not None and self._held[0] is broker:
                    self._is_answered.set()
                    return
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close every connection."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        for each in self._open:
            each.close()


def _frame(client: socket.socket) -> bytes:
    """One request with its length; empty where the connection has ended."""
    head = _exactly(client, LENGTH_BYTES)
    body = _exactly(client, int.from_bytes(head, "big")) if head else b""
    return head + body if body else b""


def _exactly(client: socket.socket, n: int) -> bytes:
    found = b""
    while len(found) < n:
        data = client.recv(n - len(found))
        if not data:
            return b""
        found += data
    return found
