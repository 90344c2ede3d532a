"""The tables and the chart of a scale run."""

import datetime
import html
import math
import pathlib
import statistics

from shared import replace_between

BEGIN, END = "<!-- scale: begin -->", "<!-- scale: end -->"
COLOURS = ("#2563eb", "#d97706", "#dc2626", "#059669", "#9333ea")


def spread(values: list[float], digits: int = 2) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def ratios(point, base) -> list[float]:
    """Of each round to the smallest size in the same round."""
    return [ours / theirs for ours, theirs in zip(point.gateway.cpu, base.gateway.cpu)]


def table(results: dict, facts: list[tuple[str, str]], options) -> str:
    lines = [f"Measured on {datetime.date.today().isoformat()}: {options.rounds} interleaved rounds of {options.seconds} s at each size."]
    if results:
        lines += ["", "| what grows | size | listens after s | CPU s per 100,000 (median, spread) | to the smallest size | memory MiB | bytes for each more |",
                  "|---|---|---|---|---|---|---|"]
    for sweep, points in results.items():
        base = points[0][0]
        for point, memory in points:
            more = point.size - base.size
            each = f"{(memory - points[0][1]) * 1024 * 1024 / more:,.0f}" if more else ""
            lines.append(f"| {sweep} | {point.size:,} | {point.gateway.start:.2f} | {spread(point.gateway.cpu)} | "
                         f"{spread(ratios(point, base)) if more else '1'} | {memory:.0f} | {each} |")
    if facts:
        lines += ["", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts)]
    return "\n".join(lines)


def write(root: pathlib.Path, text: str, results: dict) -> None:
    replace_between(root / "docs/performance.md", BEGIN, END, f"{text}\n\n![CPU per request by size](scale.svg)")
    (root / "docs/scale.svg").write_text(chart(results))


def chart(results: dict) -> str:
    """CPU per request to that of the smallest size, over the size on a logarithmic axis."""
    lines = {name: [(point.size, statistics.median(ratios(point, points[0][0]))) for point, _ in points] for name, points in results.items()}
    widest = max((size for line in lines.values() for size, _ in line), default=10)
    highest = max([1.5, *(value * 1.1 for line in lines.values() for _, value in line)])
    x = lambda size: 50 + 620 * math.log10(size) / max(1, math.log10(widest))
    y = lambda value: 300 - 270 * value / highest
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 340" font-family="sans-serif" font-size="12">',
             "<title>CPU per request by size, as a ratio to the smallest</title>", '<rect width="800" height="340" fill="#fff"/>']
    step = next(step for step in (0.25, 0.5, 1, 2, 5, 10, 50, 100, 1000) if highest / step <= 8)
    for number in range(int(highest / step) + 1):
        value = number * step
        parts.append(f'<line x1="50" x2="670" y1="{y(value):.0f}" y2="{y(value):.0f}" stroke="#e5e7eb"/>'
                     f'<text x="44" y="{y(value) + 4:.0f}" text-anchor="end">{value:g}</text>')
    for power in range(int(math.log10(widest)) + 1):
        parts.append(f'<text x="{x(10 ** power):.0f}" y="318" text-anchor="middle">{10 ** power:,}</text>')
    for (name, line), colour in zip(lines.items(), COLOURS):
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="'
                     + " ".join(f"{x(size):.0f},{y(value):.0f}" for size, value in line) + '"/>')
        parts += [f'<circle cx="{x(size):.0f}" cy="{y(value):.0f}" r="3" fill="{colour}"/>' for size, value in line]
    for number, (name, colour) in enumerate(zip(lines, COLOURS)):
        parts.append(f'<text x="690" y="{40 + 20 * number}" fill="{colour}">{html.escape(name)}</text>')
    return "\n".join(parts) + "\n</svg>\n"
