"""Contenders measured in turn, A B A B, in one process, and their ratios with spread."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Rates = dict[str, list[float]]  # contender: images a second, one a round


@dataclass(frozen=True)
class Ratio:
    """The median over the rounds of one contender's rate to another's, and its extremes."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


def in_turn(
    contenders: Mapping[str, Callable[[], float]], num_rounds: int, seconds: float = math.inf
) -> Rates:
    """Every contender once a round, each returning images a second; the first round warms up.

    After two rounds no other one begins that would probably end later than after `seconds`.
    """
    rates: Rates = {name: [] for name in contenders}
    begin = time.monotonic()
    for number in range(num_rounds + 1):
        passed = time.monotonic() - begin
        if number > 2 and passed / number * (number + 1) > seconds:
            break
        for name, run in contenders.items():
            rate = run()
            if number:
                rates[name].append(rate)
    return rates


def ratio(rates: Rates, name: str, other: str) -> Ratio:
    """Both of the same round, so that a machine that slows down slows both."""
    values = [a / b for a, b in zip(rates[name], rates[other], strict=True)]
    return Ratio(statistics.median(values), min(values), max(values))


def median(rates: Rates, name: str) -> float:
    return statistics.median(rates[name])
