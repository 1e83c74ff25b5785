"""A server that answers every request with the same number, as fast as a loop in Python can: the generator's own limit
is measured against it (`bench --load self`).

    python -m evmcore.bench.load.trivial

It takes a free port of 127.0.0.1, prints it, and ends when its standard input is closed.
"""

from __future__ import annotations

import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def serve() -> None:
    """Until standard input ends."""
    selector = selectors.DefaultSelector()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        listener.setblocking(False)
        print(listener.getsockname()[1], flush=True)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    connection, _ = listener.accept()
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    selector.register(connection, selectors.EVENT_READ, bytearray())
                elif key.fileobj is sys.stdin:
                    return
                elif isinstance(key.fileobj, socket.socket) and not _answer(key.fileobj, key.data):
                    selector.unregister(key.fileobj)
                    key.fileobj.close()


def _answer(connection: socket.socket, buffer: bytearray) -> bool:
    """Reads what there is and answers the requests that are whole. False: the connection is over."""
    try:
        data = connection.recv(65_536)
    except OSError:
        return False
    if not data:
        return False
    buffer += data
    while True:
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return True
        at = buffer.find(b"Content-Length:", 0, end)
        size = end + 4 + int(buffer[at + 15 : buffer.index(b"\r\n", at)])
        if len(buffer) < size:
            return True
        ident = buffer.find(b'"id":', end)
        number = bytes(buffer[ident + 5 : buffer.index(b",", ident)]) if ident >= 0 else b"null"
        del buffer[:size]
        body = b'{"jsonrpc":"2.0","id":%s,"result":"0x1"}' % number
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body)
        try:
            connection.sendall(head + body)
        except OSError:
            return False


@contextmanager
def trivial_server() -> Iterator[str]:
    """The server in a process of its own. Gives its URL."""
    command = [sys.executable, "-m", "evmcore.bench.load.trivial"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield f"http://127.0.0.1:{port}"
        finally:
            process.stdin.close()
            process.wait(10)


if __name__ == "__main__":
    serve()
