"""How phones repeat failed calls to the web service, for the headless phones and the simulation.

Wallet tries a failed call again with growing delays, and gives up after some attempts. Apple publishes neither delays
nor attempts, so the numbers are an assumption. What follows from them is how much a refused request costs; paced
rollouts have none.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retries:
    """Rules for repeating a failed call.

    Args:
        attempts: the number of attempts of a call before the phone gives up until the next push.
        first_delay_seconds: the delay after the first attempt.
        growth: the factor from each delay to the next.
        spread: the largest random deviation of a delay, as a share of it.
    """

    attempts: int = 5
    first_delay_seconds: float = 5.0
    growth: float = 2.0
    spread: float = 0.25

    def delay_seconds(self, failed: int, chance: float) -> float:
        """Return the delay after a number of failed attempts; `chance` is a random number from 0 to 1."""
        return self.first_delay_seconds * self.growth ** (failed - 1) * (1 + self.spread * (2 * chance - 1))
