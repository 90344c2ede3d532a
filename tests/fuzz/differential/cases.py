"""Connections as bytes: a corpus, and seeded mutations of it."""

import base64
import hashlib
import hmac
import json
import time

SECRET = b"a secret of the differential, 0123456789"


def token():
    b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"user_id": "5", "account_id": "12", "exp": int(time.time()) + 86400}
    message = b64(b'{"alg":"HS256","typ":"JWT"}') + b"." + b64(json.dumps(claims).encode())
    tag = hmac.new(SECRET, message, hashlib.sha256).digest()
    return (message + b"." + b64(tag)).decode()


def corpus():
    host = b"Host: app.test\r\n"
    auth = b"Authorization: Bearer " + token().encode() + b"\r\n"
    get = b"GET /public/a?b=c HTTP/1.1\r\n" + host + b"\r\n"
    member = b"GET /m HTTP/1.1\r\n" + host + auth + b"\r\n"
    post = b"POST /public/p HTTP/1.1\r\n" + host + b"Content-Length: 5\r\n\r\nhello"
    chunked = (
        b"POST /public/c HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n"
        b"5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n"
    )
    trailers = (
        b"PUT /m/t HTTP/1.1\r\n" + host + auth + b"Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"a\r\n0123456789\r\n0\r\nX-Sum: 1\r\nX-Auth-User-Id: 1\r\n\r\n"
    )
    smuggled = b"GET /m/smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"
    both = (
        b"POST /public/b HTTP/1.1\r\n" + host + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        % (5 + len(smuggled))
    ) + smuggled
    inside = b"POST /public/i HTTP/1.1\r\n" + host + b"Content-Length: %d\r\n\r\n" % len(smuggled) + smuggled
    return [
        get,
        member,
        post,
        chunked,
        trailers,
        both,
        inside,
        get + post + chunked + member,
        b"GET http://app.test/%61/x HTTP/1.1\r\n" + host + auth + b"\r\n",
        b"GET http://other.test/ HTTP/1.1\r\n" + host + auth + b"\r\n",
        b"GET /m HTTP/1.0\r\n" + host + auth + b"\r\n",
        b"POST /public/old HTTP/1.0\r\n" + host + b"Content-Length: 3\r\n\r\nabc",
        b"GET /public/g HTTP/1.1\r\n" + host + b"Content-Length: 3\r\n\r\nabc",
        b"HEAD /public/h HTTP/1.1\r\n" + host + b"\r\n" + get,
        b"DELETE /m/d HTTP/1.1\r\n" + host + auth + b"Connection: close, authorization\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n",
        b"POST /public/e HTTP/1.1\r\n" + host + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
        b"GET /public/n\nHost: app.test\nX-Auth-User-Id: 1\n\n",
        b"GET /public/l HTTP/1.1\nHost: app.test\n\n" + smuggled,
        b"GET /public/f#x HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /public/o HTTP/1.1\r\nHost: app.test\r\n X: folded\r\n\r\n",
        b"POST /public/z HTTP/1.1\r\n" + host + b"Content-Length: 005\r\n\r\nhello",
        b"POST /public/y HTTP/1.1\r\n" + host + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /public/u HTTP/1.1\r\n" + host + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /public/w HTTP/1.1\r\n" + host + b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
        b"CONNECT app.test:80 HTTP/1.1\r\n" + host + b"\r\n" + smuggled,
    ]


WORDS = [
    b"\r\n", b"\n", b"\r", b"\0", b"\t", b" ", b"  ", b"\x0b", b"\xe9", b"\xa0", b":", b" :", b": ", b",", b";",
    b"#", b"?", b"%2f", b"%2e%2e", b"%00", b"%61", b"//", b"/../", b"/./", b"\\", b"%25", b"%", b"@",
    b"Content-Length: 0\r\n", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Content-Length: +5\r\n",
    b"Content-Length: 5, 5\r\n", b"Content-Length : 5\r\n", b"content_length: 9\r\n", b"Content-Length:\t5\r\n",
    b"Content-Length: 0x5\r\n", b"Content-Length: 18446744073709551616\r\n", b"Content-Length: \r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: chunked, identity\r\n", b"Transfer-Encoding: CHUNKED\r\n",
    b"transfer-encoding:chunked\r\n", b" Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: \r\n chunked\r\n",
    b"Host: other.test\r\n", b"Host: app.test\r\n", b"host: APP.test.:80\r\n", b"Host: \r\n", b"Host: a@b\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive, host\r\n", b"Connection: content-length\r\n",
    b"Expect: 100-continue\r\n", b"Upgrade: websocket\r\n", b"TE: trailers\r\n", b"Trailer: host\r\n",
    b"X-Forwarded-For: 6.6.6.6\r\n", b"X-Request-Id: chosen\r\n", b"X_Request_Id: chosen\r\n", b"Via: 1.1 x\r\n",
    b"0\r\n\r\n", b"1\r\nx\r\n", b"5 \r\nhello\r\n", b"0x5\r\n", b"FFFFFFFFFFFFFFFFF\r\n", b"-1\r\n", b"00\r\n\r\n",
    b"5;\n", b"\r\n\r\n", b"\n\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1",
    b"GET ", b"get ", b"POST ", b"HEAD ", b"TRACE ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /m/hidden HTTP/1.1\r\nHost: app.test\r\n\r\n",
]


def mutated(random, seeds):
    case = bytearray(random.choice(seeds))
    if random.random() < 0.15:
        case += random.choice(seeds)
    for _ in range(random.choice([0, 1, 1, 1, 2, 2, 3, 5, 8])):
        kind = random.random()
        at = place(random, case)
        if kind < 0.45:
            case[at:at] = random.choice(WORDS)
        elif kind < 0.6:
            end = min(len(case), at + random.choice([1, 1, 2, 4, 16]))
            case[at:end] = random.choice(WORDS)
        elif kind < 0.75:
            del case[at : at + random.choice([1, 1, 2, 3, 8, 40])]
        elif kind < 0.85 and case:
            case[min(at, len(case) - 1)] = random.randrange(256)
        elif kind < 0.93:
            lines = bytes(case).split(b"\r\n")
            line = random.choice(lines)
            lines.insert(random.randrange(len(lines)), line)
            case = bytearray(b"\r\n".join(lines))
        else:
            case = bytearray(bytes(case).replace(b"\r\n", b"\n", random.choice([1, 2, 99])))
    return bytes(case)


def place(random, case):
    """Anywhere, or where a line begins."""
    if random.random() < 0.5:
        starts = [0] + [at + 2 for at in range(len(case) - 1) if case[at : at + 2] == b"\r\n"]
        return random.choice(starts)
    return random.randrange(len(case) + 1)
