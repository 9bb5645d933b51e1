"""The client's policy of retries, carried out where it can be counted.

gRPC does its retries below the API and tells nobody. So the load generator turns them off on its own channel and does
what the client's service config says: the same codes, number of attempts and pauses.
"""

import json
import random
from collections.abc import Iterable
from dataclasses import dataclass

_JITTER = 0.2  # gRFC A6: each pause is off by up to so much, at random


@dataclass(frozen=True)
class RetryPolicy:
    """gRFC A6. `attempts` counts the first try; pauses in seconds grow by `factor` from `first_s` to `most_s`."""

    attempts: int
    codes: frozenset[str]
    first_s: float
    most_s: float
    factor: float

    def again(self, attempt: int, code: str) -> bool:
        """Whether another try follows attempt number `attempt`, counted from 1, that ended with `code`."""
        return attempt < self.attempts and code in self.codes

    def pause_s(self, attempt: int) -> float:
        """Seconds between attempt number `attempt` and the next."""
        pause_s = min(self.first_s * self.factor ** (attempt - 1), self.most_s)
        return pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)


def policy_of(options: Iterable[tuple[str, int | str]]) -> RetryPolicy:
    """The policy for every method in the service config among channel options; one try where there is none."""
    config = json.loads(str(dict(options).get("grpc.service_config", "{}")))
    for method in config.get("methodConfig", ()):
        if {} in method["name"] and "retryPolicy" in method:
            policy = method["retryPolicy"]
            return RetryPolicy(
                policy["maxAttempts"],
                frozenset(policy["retryableStatusCodes"]),
                _seconds(policy["initialBackoff"]),
                _seconds(policy["maxBackoff"]),
                policy["backoffMultiplier"],
            )
    return RetryPolicy(1, frozenset(), 0.0, 0.0, 1.0)


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))
