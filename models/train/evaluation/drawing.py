"""Small pictures as SVG, without a library: lines, bars and points on one pair of axes."""

import math

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 46
COLOURS = ("#1b5e8c", "#c2571a", "#3b7d3a", "#7a4a8f", "#8c6d1b", "#555555", "#b0304f")


def nice_step(span, wanted=6):
    raw = span / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    return min((m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw), default=10 * power)


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Chart:
    """x, y: (from, to); log_x: the abscissa is logarithmic."""

    def __init__(self, title, x_label, y_label, x, y, log_x=False):
        self.x, self.y, self.log_x = x, y, log_x
        self.parts, self.legend = [], []
        self.title, self.x_label, self.y_label = title, x_label, y_label

    def at(self, x, y):
        to = math.log10 if self.log_x else float
        share = (to(max(x, 1e-12)) - to(self.x[0])) / (to(self.x[1]) - to(self.x[0]))
        rise = (y - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + min(max(share, 0), 1) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - min(max(rise, 0), 1) * (HEIGHT - TOP - BOTTOM),
        )

    def colour(self, name, colour, dashed):
        colour = (
            colour if isinstance(colour, str) else COLOURS[(len(self.legend) if colour is None else colour) % len(COLOURS)]
        )
        if name:
            self.legend.append((name, colour, dashed))
        return colour

    def line(self, points, name=None, colour=None, dashed=False, dots=False):
        points = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
        colour = self.colour(name, colour, dashed)
        path = " ".join("%.1f,%.1f" % self.at(x, y) for x, y in points)
        self.parts.append(
            '<polyline points="%s" fill="none" stroke="%s" stroke-width="1.8"%s/>'
            % (path, colour, ' stroke-dasharray="5 4"' if dashed else "")
        )
        if dots:
            self.points(points, colour=colour)

    def points(self, points, name=None, colour=None, radius=2.6):
        colour = self.colour(name, colour, False)
        for x, y in points:
            if math.isfinite(x) and math.isfinite(y):
                self.parts.append(
                    '<circle cx="%.1f" cy="%.1f" r="%g" fill="%s" fill-opacity="0.75"/>' % (*self.at(x, y), radius, colour)
                )

    def bars(self, edges, counts, name=None, colour=None):
        colour = self.colour(name, colour, False)
        for a, b, n in zip(edges[:-1], edges[1:], counts):
            (x0, y0), (x1, y1) = self.at(a, 0), self.at(b, n)
            self.parts.append(
                '<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.55"/>'
                % (x0, y1, max(x1 - x0 - 0.5, 0.5), max(y0 - y1, 0), colour)
            )

    def ticks(self, span, log):
        if log:
            low, high = math.floor(math.log10(span[0])), math.ceil(math.log10(span[1]))
            return [
                m * 10.0**e for e in range(low, high + 1) for m in (1, 2, 5) if span[0] <= m * 10.0**e <= span[1] * 1.001
            ]
        step = nice_step(span[1] - span[0])
        first = math.ceil(span[0] / step - 1e-9)
        return [k * step for k in range(first, int(math.floor(span[1] / step + 1e-9)) + 1)]

    def axes(self):
        out = []
        text = '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>'
        for x in self.ticks(self.x, self.log_x):
            px, py = self.at(x, self.y[0])
            out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%d" stroke="#ddd"/>' % (px, py, px, TOP))
            out.append(text % (px, py + 16, "middle", "", "%g" % round(x, 6)))
        for y in self.ticks(self.y, False):
            px, py = self.at(self.x[0], y)
            out.append('<line x1="%.1f" y1="%.1f" x2="%d" y2="%.1f" stroke="#ddd"/>' % (px, py, WIDTH - RIGHT, py))
            out.append(text % (px - 6, py + 4, "end", "", "%g" % round(y, 6)))
        out.append(text % ((LEFT + WIDTH) / 2, HEIGHT - 10, "middle", "", escape(self.x_label)))
        out.append(text % (14, HEIGHT / 2, "middle", ' transform="rotate(-90 14 %d)"' % (HEIGHT / 2), escape(self.y_label)))
        out.append(text % (WIDTH / 2, 18, "middle", ' font-weight="bold"', escape(self.title)))
        return out

    def keys(self, corner):
        out, n = [], len(self.legend)
        if not n:
            return out
        wide = 40 + 6.2 * max(len(name) for name, _, _ in self.legend)
        x = LEFT + 12 if "left" in corner else WIDTH - RIGHT - wide
        y = TOP + 14 if "top" in corner else HEIGHT - BOTTOM - 16 * n + 4
        out.append('<rect x="%d" y="%d" width="%d" height="%d" fill="white" fill-opacity="0.85"/>'
                   % (x - 6, y - 12, wide, 16 * n + 6))
        for k, (name, colour, dashed) in enumerate(self.legend):
            dash = ' stroke-dasharray="5 4"' if dashed else ""
            at = (x, y + 16 * k, x + 18, y + 16 * k, colour, dash)
            out.append('<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="3"%s/>' % at)
            out.append('<text x="%d" y="%d">%s</text>' % (x + 24, y + 16 * k + 4, escape(name)))
        return out

    def write(self, path, corner="bottom right"):
        head = (
            '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">'
            '<rect width="100%%" height="100%%" fill="white"/>' % (WIDTH, HEIGHT)
        )
        with open(path, "w") as f:
            f.write("\n".join([head] + self.axes() + self.parts + self.keys(corner) + ["</svg>"]) + "\n")
