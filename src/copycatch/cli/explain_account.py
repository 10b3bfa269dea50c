"""`copycatch explain --account A --log FILE`: one account through a log, alerted on or not."""

import argparse
import math
import sys
from typing import Any

from copycatch.cli.format_options import decoders_of
from copycatch.cli.options import policy_of
from copycatch.decisions.explain import readable_number
from copycatch.errors import ConfigError
from copycatch.safe_text import printable
from copycatch.units import format_rfc3339

POINTS_SHOWN = 12
FEATURES_SHOWN = 3
TEXT_CHARS_MAX = 300


def explain_account(args: argparse.Namespace) -> int:
    """Play the log once more and tell; 0 shown, 1 no such account."""
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.samples import read_samples
    from copycatch.desk.timeline import AccountTimeline, why_not
    from copycatch.records.columns import Outcomes
    from copycatch.service.logs import logging_at
    from copycatch.service.replay import replay

    if "-" in args.log:
        msg = "--log -: is read twice; name a file"
        raise ConfigError(msg)
    policy = policy_of(args.policy)
    timeline = AccountTimeline(args.account, args.model)
    suspects: set[str] = set()

    def take(outcomes: Outcomes) -> None:
        timeline.take(outcomes)
        for alert in outcomes.alerts:
            suspects.update([alert.entity.id, *alert.entity.accounts])

    make_decoder = decoders_of(args)
    with logging_at("warning"), ReplayBar(is_quiet=not sys.stderr.isatty()) as bar:
        summary = replay(args.log, policy, take, bar.update, make_decoder=make_decoder)
    worst = timeline.worst or (timeline.points[-1] if timeline.points else None)
    print(f"account {printable(args.account)}")
    print(f"  {why_not(timeline, policy)}")
    if worst is None:
        for sentence in summary.unjudged:
            print(sentence, file=sys.stderr)
        return 1
    print("\nEvaluations (chance per day of a normal account; what weighs most, beside 5 to 95 % of others)")
    print("\n".join(_point_lines(timeline, worst)))
    key = (args.account, worst.model_id)
    samples = read_samples(args.log, make_decoder, [key], suspects)
    print("\n".join(_sample_lines(samples[key])))
    return 0


def _point_lines(timeline: Any, worst: Any) -> list[str]:
    points = [point for point in timeline.points if point.model_id == worst.model_id]
    shown = _spread(points, worst)
    lines = []
    for point in shown:
        chance = "no score" if math.isnan(point.tail_prob) else f"{point.tail_prob:.2g}"
        mark = "  <- least" if point is worst and chance != "no score" else ""
        lines.append(
            f"  {format_rfc3339(point.time_ms)[:16]}Z  {point.queries:>7,} queries  {chance:>9}{mark}"
        )
        if point is worst or point is shown[-1]:
            lines += [
                f"      {_feature_text(timeline, point, column)}"
                for column in point.strongest(FEATURES_SHOWN)
            ]
    if len(points) > len(shown):
        lines.append(f"  ({len(points) - len(shown)} evaluations more)")
    return lines


def _spread(points: list[Any], worst: Any) -> list[Any]:
    """Evenly over the account's evaluations, with the worst among them."""
    step = max(1, math.ceil(len(points) / (POINTS_SHOWN - 1)))
    return [point for at, point in enumerate(points) if at % step == 0 or point is worst]


def _feature_text(timeline: Any, point: Any, column: int) -> str:
    spec = timeline.catalog[column]
    usual = timeline.usual(point, column)
    beside = "" if usual is None else f", usual is {readable_number(usual[0])} to {readable_number(usual[1])}"
    share, value = 100 * float(point.shares[column]), readable_number(float(point.values[column]))
    return f"{share:3.0f} % {spec.name}: {value}{beside} ({spec.sentence})"


def _sample_lines(samples: Any) -> list[str]:
    if not samples.telling:
        return ["", "The log holds no questions of it, so that there are none to show"]
    lines = ["", f"Its queries that lie farthest from what others ask (of {samples.n_own:,})"]
    lines += [f"  {_sample_text(sample)}" for sample in samples.telling]
    lines += ["Usual queries of other accounts"]
    lines += [f"  {_sample_text(sample)}" for sample in samples.usual]
    return lines


def _sample_text(sample: Any) -> str:
    label = "" if sample.label is None else f" -> {printable(sample.label, 60)}"
    if sample.text is not None:
        what = f'"{printable(sample.text, TEXT_CHARS_MAX)}"'
    else:
        far = ", ".join(f"[{column}] {deviation:+.1f}" for column, deviation in sample.deviations)
        what = f"{sample.distance:.1f} deviations from the usual: {far}"
    times = f" (asked {sample.times} times)" if sample.times > 1 else ""
    return f"{printable(sample.event_id, 40)}: {what}{label}{times}"
