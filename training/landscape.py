"""A landscape being put together: sky, ground and the things that several scenes share."""

from __future__ import annotations

from random import Random

from training.raster import Colour, Part, polygon

_SKIES: dict[str, tuple[Colour, Colour]] = {
    "day": ((0.27, 0.55, 0.92), (0.72, 0.87, 0.98)),
    "sunset": ((0.40, 0.20, 0.48), (0.98, 0.60, 0.25)),
    "night": ((0.02, 0.03, 0.12), (0.06, 0.08, 0.26)),
}
WINDOW = (1.0, 0.86, 0.42)


class Scene:
    """A picture being put together; `width` and `height` are at least 1, the shorter one is 1."""

    def __init__(self, rng: Random, time: str, width: float, height: float) -> None:
        self.rng, self.time, self.width, self.height = rng, time, width, height
        self.parts: list[Part] = []
        self.middle = width / 2
        self.sky_colours = _SKIES[time]

    def between(self, low: float, high: float) -> float:
        """A random number."""
        return self.rng.uniform(low, high)

    def lit(self, colour: Colour) -> Colour:
        """A colour as it looks at this time, a little different each time."""
        red, green, blue = (min(1, max(0, value + self.between(-0.02, 0.02))) for value in colour)
        if self.time == "sunset":
            return red * 0.75 + 0.08, green * 0.62 + 0.03, blue * 0.62 + 0.06
        if self.time == "night":
            return red * 0.50 + 0.02, green * 0.52 + 0.03, blue * 0.60 + 0.08
        return red, green, blue

    def sky(self, horizon: float) -> None:
        """The sky down to the horizon, with sun, or moon and stars."""
        top, low = self.sky_colours
        jitter = self.between(-0.025, 0.025)
        top = (top[0], top[1] + jitter, top[2] + jitter)
        top = tuple(max(0.0, value) for value in top)  # type: ignore[assignment]
        self.parts.append(Part("gradient", (0, 0, 0, horizon), top, low))
        side = self.rng.choice((-1, 1))
        x = self.middle + side * self.between(0.26, 0.38)
        if self.time == "day":
            self.disc(x, self.between(0.12, 0.18), self.between(0.055, 0.075), (1, 0.9, 0.35))
        elif self.time == "sunset":
            y, radius = horizon - self.between(0.05, 0.12), self.between(0.08, 0.1)
            self.parts.append(Part("glow", (x, y, 0.4), (1.0, 0.85, 0.45), opacity=0.7))
            self.disc(x, y, radius, (1.0, 0.86, 0.45))
        else:
            for _ in range(9):
                star = self.between(0, self.width), self.between(0.02, horizon * 0.7)
                self.disc(*star, self.between(0.006, 0.011), (0.95, 0.95, 0.85))
            self.disc(x, self.between(0.13, 0.2), self.between(0.06, 0.085), (0.96, 0.95, 0.82))

    def ground(self, top: float, colour: Colour) -> None:
        """Everything below a level line."""
        self.box(-1, top, self.width + 1, self.height + 1, self.lit(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        """An upright rectangle."""
        self.parts.append(Part("box", (left, top, right, bottom), colour))

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """A disc."""
        self.parts.append(Part("ellipse", (x, y, radius, radius), colour))

    def ellipse(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        """An upright ellipse by its half width and half height."""
        self.parts.append(Part("ellipse", (x, y, across, down), colour))

    def polygon(self, *corners: tuple[float, float], colour: Colour, opacity: float = 1.0) -> None:
        """A polygon."""
        self.parts.append(polygon(corners, colour, opacity))

    def cloud(self, x: float, y: float, size: float) -> None:
        """Three discs that overlap."""
        colour = self.lit((0.97, 0.97, 0.98))
        for shift, radius in ((-0.9, 0.6), (0.0, 0.85), (0.95, 0.65)):
            self.ellipse(x + shift * size, y, radius * size, radius * size * 0.75, colour)

    def tree(self, x: float, foot: float, size: float) -> None:
        """A trunk and a round top."""
        self.box(
            x - 0.1 * size, foot - 0.7 * size, x + 0.1 * size, foot, self.lit((0.42, 0.26, 0.13))
        )
        leaves = self.lit((0.16, 0.48, 0.2))
        for dx, dy, radius in ((0, -1.0, 0.5), (-0.32, -0.78, 0.34), (0.32, -0.78, 0.34)):
            self.disc(x + dx * size, foot + dy * size, radius * size, leaves)

    def fir(self, x: float, foot: float, size: float) -> None:
        """A trunk and two triangles."""
        green = self.lit((0.1, 0.38, 0.22))
        self.box(
            x - 0.07 * size, foot - 0.3 * size, x + 0.07 * size, foot, self.lit((0.38, 0.24, 0.13))
        )
        for low, high, half in ((0.22, 0.8, 0.38), (0.55, 1.15, 0.28)):
            left, right = (x - half * size, foot - low * size), (x + half * size, foot - low * size)
            self.polygon(left, right, (x, foot - high * size), colour=green)
