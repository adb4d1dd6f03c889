"""Tables of rows, and plots of them written as SVG by hand."""
import html
import json
import math

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#777777")
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 900, 520, 80, 190, 40, 70


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}".replace(",", " ") if abs(value) >= 10000 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}".replace(",", " ")
    if isinstance(value, (list, tuple)):
        return " ".join(cell(part) for part in value)
    return str(value)


def table(rows, titles):
    """`titles`: {key of a row: what its column is called}."""
    lines = [list(titles.values())] + [[cell(row.get(key)) for key in titles] for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(titles))]
    text = ["| " + " | ".join(word.ljust(width) for word, width in zip(line, widths)) + " |" for line in lines]
    text.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(text)


def write_json(path, report):
    if path:
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def ticks(low, high, count=6):
    """Round numbers that cover the range."""
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 5, 10) if size * factor >= raw)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * i for i in range(first, last + 1)]


class Picture:
    """Marks in a frame with two axes; x and y map numbers to places."""

    def __init__(self, title, x_label, y_label, y_range):
        self.marks = []
        self.y_ticks = ticks(*y_range)
        self.text(WIDTH / 2, 22, title, size=15, anchor="middle")
        self.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x_label, anchor="middle")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        self.text(20, middle, y_label, anchor="middle", turn=f"rotate(-90 20 {middle})")
        for value in self.y_ticks:
            self.line(LEFT, self.y(value), WIDTH - RIGHT, self.y(value), "#dddddd")
            self.text(LEFT - 8, self.y(value) + 4, f"{value:g}", anchor="end")
        self.line(LEFT, TOP, LEFT, HEIGHT - BOTTOM, "#000000")
        self.line(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "#000000")

    def y(self, value):
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - BOTTOM - TOP)

    def text(self, x, y, words, size=12, anchor="start", turn=""):
        turn = f' transform="{turn}"' if turn else ""
        self.marks.append(f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{turn}>'
                          f"{html.escape(words)}</text>")

    def line(self, x1, y1, x2, y2, colour, dash=""):
        dash = f' stroke-dasharray="{dash}"' if dash else ""
        self.marks.append(f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dash}/>')

    def dot(self, x, y, colour, hollow=False):
        fill = "#ffffff" if hollow else colour
        self.marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}"/>')

    def bar(self, x, width, y, colour):
        self.marks.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{HEIGHT - BOTTOM - y:.1f}" '
                          f'fill="{colour}"/>')

    def legend(self, names):
        for i, name in enumerate(names):
            self.dot(WIDTH - RIGHT + 16, TOP + 10 + 18 * i, COLOURS[i % len(COLOURS)])
            self.text(WIDTH - RIGHT + 26, TOP + 14 + 18 * i, name)

    def write(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" '
                        f'height="{HEIGHT}" font-family="DejaVu Sans, sans-serif">\n<rect width="100%" height="100%" '
                        'fill="#ffffff"/>\n'
                        + "\n".join(self.marks) + "</svg>\n", encoding="utf-8")


def dots(path, title, x_label, y_label, series, level=None):
    """Dots over a logarithmic x. `series`: {name: [(x, y, label)]}; `level`: (y, name) of a line across."""
    points = [point for of_series in series.values() for point in of_series]
    if not points:
        return
    heights = [y for _, y, _ in points] + ([level[0]] if level else [])
    picture = Picture(title, x_label, y_label, (min(heights), max(heights)))
    low, high = (math.log10(edge) for edge in (min(x for x, *_ in points) / 1.2, max(x for x, *_ in points) * 1.2))

    def place(x):
        return LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - RIGHT - LEFT)

    for power in range(math.floor(low), math.ceil(high) + 1):
        for value in (10 ** power, 2 * 10 ** power, 5 * 10 ** power):
            if low <= math.log10(value) <= high:
                picture.line(place(value), HEIGHT - BOTTOM, place(value), HEIGHT - BOTTOM + 5, "#000000")
                picture.text(place(value), HEIGHT - BOTTOM + 20, f"{value:g}", anchor="middle")
    if level:
        picture.line(LEFT, picture.y(level[0]), WIDTH - RIGHT, picture.y(level[0]), "#000000", dash="4 3")
        picture.text(WIDTH - RIGHT + 4, picture.y(level[0]) + 4, level[1])
    picture.legend(series)
    for i, of_series in enumerate(series.values()):
        for x, y, label in of_series:
            picture.dot(place(x), picture.y(y), COLOURS[i % len(COLOURS)], hollow=i % 2 == 1)
            turn = f"rotate(-50 {place(x):.1f} {picture.y(y):.1f})"
            picture.text(place(x) + 8, picture.y(y) + 3, label, size=9, turn=turn)
    picture.write(path)


def bars(path, title, y_label, groups, targets):
    """Bars side by side. `groups`: {name: {bar: (height, note)}}; `targets`: {name: height of a line}."""
    names = list(dict.fromkeys(bar for group in groups.values() for bar in group))
    heights = [height for group in groups.values() for height, _ in group.values()]
    if not heights:
        return
    picture = Picture(title, "", y_label, (0.0, 1.3 * max(1.0, *heights)))  # room for notes above bars
    picture.legend(names)
    room = (WIDTH - RIGHT - LEFT) / len(groups)
    wide = 0.84 * room / max(len(of_group) for of_group in groups.values())
    for g, (group, of_group) in enumerate(groups.items()):
        start = LEFT + room * (g + 0.5) - wide * len(of_group) / 2
        for b, (name, (height, note)) in enumerate(of_group.items()):
            picture.bar(start + b * wide, 0.9 * wide, picture.y(height), COLOURS[names.index(name) % len(COLOURS)])
            x, y = start + (b + 0.6) * wide, picture.y(height) - 5
            picture.text(x, y, note, size=9, turn=f"rotate(-90 {x:.1f} {y:.1f})")
        if group in targets:
            picture.line(start, picture.y(targets[group]), start + wide * len(of_group),
                         picture.y(targets[group]), "#000000", dash="4 3")
        picture.text(LEFT + room * (g + 0.5), HEIGHT - BOTTOM + 20, group, anchor="middle")
    picture.write(path)
