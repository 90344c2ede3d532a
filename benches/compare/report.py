"""The table and the chart of one comparison."""

import argparse
import datetime
import html
import pathlib
import re
import statistics
import subprocess

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
BASE = "nginx, plain, no log"


def write(cases: list, options: argparse.Namespace, root: pathlib.Path | None, rate: int) -> None:
    by_name = {case.name: case for case in cases}
    base = by_name.get(BASE)
    lines = [
        f"Measured on {datetime.date.today().isoformat()}: {options.rounds} interleaved rounds of {options.seconds} s, 64 keep-alive "
        f"connections, a thousand users in turn, a response of 3 bytes. {versions()}",
        "",
        "| proxy | CPU s per 100,000 (median, spread) | to nginx plain | to its peer | requests/s | p50, p90, p99, p99.9 in µs at "
        f"{rate:,}/s | memory MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in cases:
        cpu = statistics.median(case.cpu)
        spread = f"{min(case.cpu):.2f} to {max(case.cpu):.2f}"
        peer = by_name.get(case.against)
        latency = ", ".join(f"{case.latency[name]:.0f}" for name in ("p50", "p90", "p99", "p99.9"))
        lines.append(
            f"| {case.name} | {cpu:.2f} ({spread}) | {ratio(case, base)} | {ratio(case, peer)} | "
            f"{statistics.median(case.rate):,.0f} | {latency} | {max(case.memory):.0f} |"
        )
    table = "\n".join(lines)
    print("\n" + table)
    if root is None:
        return
    page = root / "docs/performance.md"
    text = page.read_text()
    between = f"{BEGIN}\n{table}\n\n![CPU per request, as a ratio to nginx](performance.svg)\n{END}"
    page.write_text(re.sub(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: between, text, flags=re.S))
    (root / "docs/performance.svg").write_text(chart(cases, base))


def ratio(case, peer) -> str:
    """The median of the rounds' own ratios, which what else the machine does touches least."""
    if peer is None or peer is case:
        return "1" if peer is case else ""
    ratios = [ours / theirs for ours, theirs in zip(case.cpu, peer.cpu)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


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
