"""Random numbers and colours of the streets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

Colour = tuple[float, float, float]
T = TypeVar("T")


def colours(text: str) -> tuple[Colour, ...]:
    """The colours of a text of hexadecimal numbers, RRGGBB each."""
    return tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, text.split()))


def tinted(colour: Colour, factor: float, lift: float = 0.0) -> Colour:
    """The colour times a factor plus a lift, at most 250."""
    r, g, b = (min(250.0, c * factor + lift) for c in colour)
    return r, g, b


class Rng:
    """Uniform random numbers from (seed, index), drawn in blocks: one costs 0.1 µs.

    Only ``Generator.random`` is used: its stream is the same on every machine and numpy version.
    """

    def __init__(self, *entropy: int) -> None:
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))

        def blocks() -> Iterator[list[float]]:
            while True:
                yield generator.random(1024).tolist()

        draw = chain.from_iterable(blocks()).__next__

        def uniform(low: float, high: float) -> float:
            return low + (high - low) * draw()

        self.random: Callable[[], float] = draw
        """A number in [0, 1)."""
        self.uniform: Callable[[float, float], float] = uniform
        """A number in [low, high); a closure is faster than a method, and it is called most."""

    def integer(self, low: int, high: int) -> int:
        """A whole number in [low, high], both ends included."""
        return low + int(self.random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[int(self.random() * len(options))]

    def sign(self) -> int:
        """-1 or 1."""
        return -1 if self.random() < 0.5 else 1

    def jitter(self, colour: Colour, amount: float) -> Colour:
        """The colour with its brightness and each channel moved by up to the amount."""
        draw, span = self.random, 2 * amount / 3
        shift = 2 * amount * draw() - amount - span / 2
        r, g, b = colour
        return r + shift + span * draw(), g + shift + span * draw(), b + shift + span * draw()
