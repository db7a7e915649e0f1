"""`sdcpu bench`: what is fastest on this machine."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import click

from sdcpu.cli.options import json_option
from sdcpu.cli.output import print_json, print_note, print_result, print_table

DISTURBED = 0.2
"""The share of the processor from which on other programs falsify what is measured."""

if TYPE_CHECKING:
    from sdcpu.settings import Settings
    from sdcpu.trials import TrialResult


@click.command(
    short_help="Find out what is fastest on this machine.",
    epilog="""\b
Examples:
  sdcpu bench
  sdcpu bench --forget""",
)
@click.option("-m", "--model", default="demo", help="Draw with this model; it must be here.")
@click.option(
    "--budget",
    type=click.FloatRange(min=1),
    default=50.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may take; with less, less is tried.",
)
@click.option(
    "--workers",
    is_flag=True,
    help="Measure how many workers are best for 'sdcpu batch', each with its share of threads.",
)
@click.option("--forget", is_flag=True, help="Forget what was found, and measure nothing.")
@json_option
def bench(model: str, budget: float, workers: bool, forget: bool, as_json: bool) -> None:
    """Draw small pictures in several ways, and use the fastest way from then on.

    Tried are the CPU kernels that run here and numbers of threads. What else the machine does
    meanwhile disturbs the result. --accel and --threads still win over it.
    """
    from sdcpu.batch.worker_counts import WorkerCounts
    from sdcpu.settings import load_settings
    from sdcpu.trials import TrialResult, find_fastest
    from sdcpu.tuning import Tunings

    settings = load_settings()
    tunings = Tunings(settings.state_folder)
    if forget:
        known = tunings.forget()
        known |= WorkerCounts(settings.state_folder).forget()
        if as_json:
            print_json({"forgotten": known})
        else:
            print_result("forgotten" if known else "nothing was remembered")
        return
    if workers:
        _measure_workers(model, settings, as_json=as_json)
        return
    for event in find_fastest(model, settings=settings, budget=budget):
        if not isinstance(event, TrialResult):
            print_note(f"{event.way.title}: {event.seconds:.2f} s for {event.side}x{event.side}")
        elif as_json:
            print_json({**_plain(event), "file": tunings.file})
        else:
            _print(event, settings)


def _measure_workers(model: str, settings: Settings, *, as_json: bool) -> None:
    """Find out how many workers are fastest with a model, and print it."""
    from sdcpu.batch import WorkerTrial, measure_workers

    for event in measure_workers(model, settings=settings):
        if isinstance(event, WorkerTrial):
            print_note(
                f"workers: {event.workers}, threads of each: {event.threads}, "
                f"{event.seconds:.2f} s a picture"
            )
        elif as_json:
            print_json(event)
        else:
            fastest = min(statistics.median(seconds) for seconds in event.seconds.values())
            print_table(
                ("WORKERS", "SECONDS A PICTURE", "RATIO"),
                [
                    (str(count), f"{median:.2f}", f"{median / fastest:.2f}")
                    for count, seconds in sorted(event.seconds.items())
                    for median in [statistics.median(seconds)]
                ],
            )
            number = "1 worker" if event.best == 1 else f"{event.best} workers"
            print_result(f"\n{number}: what 'sdcpu batch' will use from now on with {event.model}")


def _print(result: TrialResult, settings: Settings) -> None:
    """Print the table, fastest first, and what follows from it."""
    best = result.best
    fastest = min(statistics.median(seconds) for seconds in result.seconds.values())
    rows = [
        (f"{median:.2f}", f"{median / fastest:.2f}", str(len(seconds)), way.title)
        for median, way, seconds in sorted(
            ((statistics.median(seconds), way, seconds) for way, seconds in result.seconds.items()),
            key=lambda row: row[0],
        )
    ]
    rows += [("-", "-", "0", f"{way.title}: no time left") for way in result.left_out]
    rows += [("-", "-", "0", f"{way.title}: did not run") for way in result.failed]
    print_table(("SECONDS", "RATIO", "PICTURES", "WAY"), rows)
    follows = "that is what sdcpu will use from now on"
    if not result.conclusive:
        follows = "there was no time to compare, so nothing is remembered (--budget gives more)"
    print_result(f"\n{best.title}: {best.seconds:.1f} s for {best.picture}; {follows}")
    if result.busy > DISTURBED:
        print_note(
            f"Other programs kept this machine {result.busy:.0%} busy before: "
            "measure again when it is idle."
        )
    if settings.threads is not None or settings.accel != "auto":
        print_note("Threads or kernels in your settings win over it.")


def _plain(result: TrialResult) -> dict[str, object]:
    """Turn a result into what JSON can carry."""
    ways = [{"way": way, "seconds": seconds} for way, seconds in result.seconds.items()]
    return {
        "best": result.best,
        "side": result.side,
        "ways": ways,
        "left_out": result.left_out,
        "failed": result.failed,
        "busy": result.busy,
        "remembered": result.conclusive,
    }
