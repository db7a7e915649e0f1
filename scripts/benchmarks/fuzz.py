"""Send the server all kinds of requests, made from its OpenAPI document, and tell what it did."""

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzzing import CHECKS, fuzz, fuzzed_server


def main() -> int:
    """Print what was sent and what was found; 1 where an answer was wrong."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=int, default=300)
    arguments.add_argument("--examples", type=int, default=100, help="requests of each kind")
    arguments.add_argument("--seed", type=int, default=1)
    wanted = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name, fuzzed_server(Path(name)) as (url, queue):
        try:
            report = fuzz(
                url,
                Path(name),
                examples=wanted.examples,
                seconds=wanted.seconds,
                phases="examples,coverage,fuzzing,stateful",
                seed=wanted.seed,
            )
        except AssertionError as error:
            print(error)
            return 1
        print(report.partition("SUMMARY")[2].strip(" =\n"))
        print(f"Every answer was held to: {', '.join(CHECKS)}.")
        print(f"Jobs in the queue afterwards: {queue.statistics()['jobs']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
