"""An upstream that keeps every byte of every connection and answers whatever h11 can read."""

import socket
import threading

import h11


class Upstream:
    def __init__(self):
        self.lock = threading.Lock()
        self.connections = []
        self.live = 0
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            raw = bytearray()
            with self.lock:
                self.connections.append(raw)
                self.live += 1
            threading.Thread(target=self._serve, args=(connection, raw), daemon=True).start()

    def _serve(self, connection, raw):
        connection.settimeout(20)
        parser = h11.Connection(h11.SERVER)
        try:
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    data = connection.recv(65536)
                    raw += data
                    parser.receive_data(data)
                elif event is h11.PAUSED:
                    parser.start_next_cycle()
                elif isinstance(event, h11.Request):
                    method = event.method
                elif isinstance(event, h11.EndOfMessage):
                    body = b"" if method == b"HEAD" else b"seen"
                    answer = h11.Response(
                        status_code=200,
                        headers=[("Content-Length", str(len(body))), ("X-Seen", "1")],
                    )
                    connection.sendall(
                        (parser.send(answer) or b"")
                        + (parser.send(h11.Data(data=body)) or b"")
                        + (parser.send(h11.EndOfMessage()) or b"")
                    )
                    if parser.our_state is h11.MUST_CLOSE:
                        break
                elif isinstance(event, h11.ConnectionClosed):
                    break
        except h11.ProtocolError:
            # The record stays and is judged afterwards; read what else comes.
            try:
                while data := connection.recv(65536):
                    raw += data
            except OSError:
                pass
        except OSError:
            pass
        finally:
            connection.close()
            with self.lock:
                self.live -= 1


def read(raw, lenient=False):
    """What h11 finds in a connection: (requests, error, bytes left over).

    With `lenient` empty lines before a request line are passed over, as RFC 9112, section 2.2 asks
    of servers and h11 does not.
    """
    requests = []
    raw = bytes(raw)
    while True:
        raw = raw.lstrip(b"\r\n") if lenient else raw
        found, error, left, more = read_one(raw)
        after = after_trailers(raw) if lenient and error and found else None
        if after is not None:
            found[0]["complete"], error = True, None
            left, more = len(after), bool(after)
        requests += found
        if error or not more:
            return requests, error, left
        raw = raw[-left:]


def after_trailers(raw):
    """What follows a chunked body whose trailers h11 judges; the gateway drops what they say."""
    head, blank, rest = raw.partition(b"\r\n\r\n")
    while blank:
        size, blank, rest = rest.partition(b"\r\n")
        digits = size.split(b";")[0].strip()
        if not blank or not digits or digits.strip(b"0123456789abcdefABCDEF"):
            return None
        length = int(digits, 16)
        if length == 0:
            break
        if rest[length : length + 2] != b"\r\n":
            return None
        rest = rest[length + 2 :]
    while blank:
        line, blank, rest = rest.partition(b"\r\n")
        if blank and not line:
            return rest
    return None


def read_one(raw):
    """The first request: ([request], error, bytes left over, whether another may follow)."""
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=256 * 1024)
    parser.receive_data(raw)
    requests = []
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                fields = [(name.decode("latin-1"), value) for name, value in event.headers]
                requests.append(
                    {
                        "method": event.method.decode("latin-1"),
                        "target": event.target.decode("latin-1"),
                        "version": event.http_version.decode("latin-1"),
                        "host": [v.decode("latin-1") for n, v in fields if n == "host"],
                        "names": [n for n, _ in fields],
                        "fields": fields,
                        "length": 0,
                        "complete": False,
                    }
                )
            elif isinstance(event, h11.Data):
                requests[-1]["length"] += len(event.data)
            elif isinstance(event, h11.EndOfMessage):
                requests[-1]["complete"] = True
                left = len(parser.trailing_data[0])
                # An Upgrade that is ignored changes nothing; after a CONNECT nothing is HTTP.
                goes_on = parser.their_state is h11.DONE or (
                    parser.their_state is h11.MIGHT_SWITCH_PROTOCOL
                    and requests[-1]["method"] != "CONNECT"
                )
                return requests, None, left, left > 0 and goes_on
            else:
                # It needs more, or was told that there is no more.
                return requests, None, len(parser.trailing_data[0]), False
    except h11.ProtocolError as error:
        return requests, str(error), len(parser.trailing_data[0]), False
