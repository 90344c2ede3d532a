"""The tables and the chart of one comparison: one table for each group."""

import argparse
import datetime
import html
import pathlib
import re
import statistics
import subprocess

from loads import LOADS
from shared import replace_between

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
BASE = "nginx, plain, no log"
TITLES = {
    ("plain", "requests"): "Plain forwarding",
    ("verify", "requests"): "A token verified on each request",
    ("full", "requests"): "What users run: the token, the live account, header hygiene, a signed assertion, the audit line to a file, metrics",
    ("tls", "handshakes"): "TLS 1.3 handshakes, a P-256 certificate, no resumption",
    ("tls", "bulk"): "1 MiB responses over TLS 1.3 with AES-128-GCM, 8 connections",
    ("h2", "http2"): "HTTP/2 clients in clear text: 16 connections, 10 streams each",
    ("body", "downloads"): "1 MiB responses, 16 connections",
    ("body", "uploads"): "1 MiB uploads, 16 connections",
    ("websocket", "echoes"): "WebSocket messages of 100 bytes, there and back, 64 connections",
}


def write(cases: list, direct: str, options: argparse.Namespace, root: pathlib.Path | None, rate: int) -> None:
    by_name = {case.name: case for case in cases}
    parts = [
        f"Measured on {datetime.date.today().isoformat()}: {options.rounds} interleaved rounds of {options.seconds} s; small requests over 64 "
        f"keep-alive connections, a thousand users in turn, a response of 3 bytes. {versions()} {direct} Ratios are medians of the rounds' "
        "own, with their spread."]
    for kind, title in TITLES.items():
        if members := [case for case in cases if (case.group, case.load) == kind]:
            parts += ["", f"**{title}**", "", *table(members, by_name, rate)]
    text = "\n".join(parts)
    print("\n" + text)
    if root is None:
        return
    replace_between(root / "docs/performance.md", BEGIN, END, f"{text}\n\n![CPU per request, as a ratio to nginx](performance.svg)")
    (root / "docs/performance.svg").write_text(chart([case for case in cases if case.load == "requests"], by_name.get(BASE)))


def table(cases: list, by_name: dict, rate: int) -> list[str]:
    load = LOADS[cases[0].load]
    latency, calls = any(case.latencies for case in cases), any(case.calls for case in cases)
    base = by_name.get(BASE) if cases[0].load == "requests" and cases[0].group != "plain" else None
    columns = ["proxy", f"{load.per} (median, spread)", *(["to nginx plain"] if base else []), "to its peer", load.rate, "of its core",
               *([f"p50, p90, p99, p99.9 in µs at {rate:,}/s", "p50, p90 above nginx"] if latency else []), *(["system calls"] if calls else []), "memory MiB"]
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for case in cases:
        cpu = statistics.median(case.cpu)
        digits = 2 if cpu >= 0.995 else 3
        cells = [case.name, f"{cpu:.{digits}f} ({min(case.cpu):.{digits}f} to {max(case.cpu):.{digits}f})"]
        if base:
            cells.append(ratio(case, base))
        cells += [ratio(case, by_name.get(case.against)), f"{statistics.median(case.rate):,.0f}", f"{statistics.median(case.busy):.0%}"]
        if latency:
            cells.append(", ".join(f"{statistics.median(one[name] for one in case.latencies):.0f}" for name in ("p50", "p90", "p99", "p99.9")))
            cells.append(above(case, by_name))
        if calls:
            cells.append(f"{case.calls:.1f}" if case.calls else "")
        cells.append(f"{max(case.memory):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def ratio(case, peer) -> str:
    """The median of the rounds' own ratios, which what else the machine does touches least."""
    if peer is None or peer is case:
        return ""
    ratios = [ours / theirs for ours, theirs in zip(case.cpu, peer.cpu)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def above(case, by_name: dict) -> str:
    """What it adds to nginx doing the same, or forwarding alone: the median of the rounds' differences."""
    peer = by_name.get(case.against)
    peer = peer if peer and peer.name.startswith("nginx") else by_name.get(BASE)
    if peer is None or case.name.startswith("nginx"):
        return ""
    added = {name: statistics.median(ours[name] - theirs[name] for ours, theirs in zip(case.latencies, peer.latencies)) for name in ("p50", "p90")}
    return ", ".join(f"{added[name]:+.0f}" for name in added)


def versions() -> str:
    found = []
    for command in (["nginx", "-v"], ["haproxy", "-v"], ["uname", "-r"]):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        line = (ran.stdout + ran.stderr).strip().splitlines()[:1]
        found += [re.sub(r" \d{4}/\d\d/\d\d.*", "", line[0]) if command[0] != "uname" else f"Linux {line[0]}"] if line else []
    return ", ".join(found) + "."


def chart(cases: list, base) -> str:
    rows = [(case.name, statistics.median(case.cpu) / statistics.median(base.cpu)) for case in cases] if base else []
    widest = max((value for _, value in rows), default=1)
    height = 26 * len(rows) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-family="sans-serif" font-size="13">',
             '<title>CPU per request, as a ratio to nginx plain</title>', f'<rect width="860" height="{height}" fill="#fff"/>']
    for number, (name, value) in enumerate(rows):
        y, width = 10 + 26 * number, 440 * value / widest
        colour = "#2563eb" if name.startswith("countersign") else "#9ca3af"
        parts.append(f'<text x="310" y="{y + 15}" text-anchor="end">{html.escape(name)}</text>'
                     f'<rect x="318" y="{y + 2}" width="{width:.0f}" height="18" fill="{colour}"/>'
                     f'<text x="{324 + width:.0f}" y="{y + 15}">{value:.2f}</text>')
    return "\n".join(parts) + "\n</svg>\n"
