"""The groups that speak something else, or more: TLS, HTTP/2, large bodies, WebSockets.

Countersign serves a public route here that leaves no audit lines but those of WebSockets, two for each: what
is compared is the work of a proxy.
"""

import sys

import messages
import uploads
from setups import MIB, Bench, Maker
from shared import free_port, wait


def cases(bench: Bench) -> list:
    make = Maker(bench)
    tls(make)
    http2(make)
    bodies(make)
    websockets(make)
    return make.made


def tls(make: Maker) -> None:
    """TLS 1.3 with one P-256 certificate. Handshakes are whole: nobody resumes."""
    folder = make.bench.folder
    listen = f', tls: {{ certificate: {folder}/tls.crt, private_key: {{ file: {folder}/tls.key }} }}'
    server = f"ssl_certificate {folder}/tls.crt; ssl_certificate_key {folder}/tls.key; ssl_protocols TLSv1.3;"
    (folder / "tls.pem").write_bytes((folder / "tls.crt").read_bytes() + (folder / "tls.key").read_bytes())
    for load, path, word in (("handshakes", "/items/1", "handshakes"), ("bulk", "/big", "1 MiB responses")):
        more = {"load": load, "path": path, "scheme": "https"}
        peer = f"nginx, TLS 1.3, {word}"
        make.nginx(peer, "tls", listen="ssl", server=server, **more)
        make.haproxy(f"haproxy, TLS 1.3, {word}", "tls", bind=f"ssl crt {folder}/tls.pem ssl-min-ver TLSv1.3", against=peer, **more)
        make.countersign(f"countersign, TLS 1.3, {word}", "tls", public=True, lines=False, listen=listen, against=peer, **more)


def http2(make: Maker) -> None:
    """HTTP/2 in clear text by prior knowledge, HTTP/1.1 to the upstream."""
    peer = "nginx, HTTP/2"
    make.nginx(peer, "h2", listen="http2", load="http2")
    make.haproxy("haproxy, HTTP/2", "h2", bind="proto h2", against=peer, load="http2")
    make.countersign("countersign, HTTP/2, public route", "h2", public=True, lines=False, listen=", h2c: true", against=peer, load="http2")
    make.countersign("countersign, HTTP/2, everything on", "h2", "HS256", "32MiB", assertion=True, listen=", h2c: true", against=peer, load="http2")


def bodies(make: Maker) -> None:
    """1 MiB down, 1 MiB up; nothing is kept whole by anybody."""
    sink = also(make, "body", [uploads.__file__])
    script = make.bench.file("upload.lua", f'wrk.method = "POST"\nwrk.path = "/upload"\nwrk.body = string.rep("x", {MIB})\n')
    for load, path, word, more in (("downloads", "/big", "1 MiB responses", {}),
                                   ("uploads", "/upload", "1 MiB uploads", {"script": script, "upstream": sink})):
        more = {"load": load, "path": path, **more}
        peer = f"nginx, {word}"
        make.nginx(peer, "body", **more)
        make.haproxy(f"haproxy, {word}", "body", against=peer, **more)
        make.countersign(f"countersign, {word}", "body", public=True, lines=False, against=peer, **more)


def websockets(make: Maker) -> None:
    """Messages of 100 bytes, there and back, one on the way on each of 64 connections."""
    port = also(make, "websocket", [messages.__file__, "server"])
    peer = "nginx, WebSocket messages"
    make.nginx(peer, "websocket", upstream=port, load="echoes")
    make.haproxy("haproxy, WebSocket messages", "websocket", upstream=port, against=peer, load="echoes")
    make.countersign("countersign, WebSocket messages", "websocket", public=True, upstream=port, against=peer, load="echoes")


def also(make: Maker, group: str, command: list[str]) -> int:
    """An upstream in Python that a group needs; its port."""
    port = free_port()

    def start(cpu: str) -> None:
        output = make.bench.folder / f"{group}.out"
        process = make.bench.spawn([sys.executable, *command, port], cpu, output, {})
        wait(port, output, process)

    make.bench.also[group] = start
    return port
