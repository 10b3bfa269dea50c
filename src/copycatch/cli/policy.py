"""`copycatch policy`: what a policy comes to, and what one changes about another."""

import argparse
from pathlib import Path
from typing import Any

from copycatch.cli.options import policy_of

DESCRIPTION = """\
Show what a policy comes to, for everybody or for one account, or what a new policy changes, in words.
"""
EPILOG = """\
examples:
  copycatch policy show policy.yaml --effective --account acct-7 --model fraud
  copycatch policy diff policy.yaml policy.new.yaml

exit codes: 0 shown, and of diff: no difference; 1 they differ; 2 wrong options or policies
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "policy",
        help="show what a policy comes to, or what one changes about another",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="a policy in words, or all of its values")
    show.add_argument("file", type=Path, nargs="?", metavar="POLICY", help="default: the built-in policy")
    show.add_argument("--effective", action="store_true", help="every value, those of defaults too, as YAML")
    show.add_argument("--account", metavar="ID", help="as it stands for this account")
    show.add_argument("--tenant", metavar="ID", help="of this tenant")
    show.add_argument("--model", metavar="ID", help="on this model")
    diff = actions.add_parser("diff", help="what the new policy changes")
    diff.add_argument("old", type=Path, metavar="OLD")
    diff.add_argument("new", type=Path, metavar="NEW")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show or compare; see EPILOG for the exit codes."""
    from copycatch.cli.render_policy import policy_lines

    if args.action == "diff":
        return _diff(policy_of(args.old), policy_of(args.new))
    policy = policy_of(args.file)
    if args.account is not None:
        print("\n".join(_account_lines(policy, args)))
    elif args.effective:
        from copycatch.contracts.example_policy import policy_text

        print(policy_text(policy), end="")
    else:
        print("\n".join(policy_lines(policy)))
    return 0


def _diff(old: Any, new: Any) -> int:
    from copycatch.cli.render_policy import policy_lines

    before, after = policy_lines(old), policy_lines(new)
    gone = [f"- {line}" for line in before if line not in after]
    come = [f"+ {line}" for line in after if line not in before]
    if not gone and not come:
        print("the policies mean the same")
        return 0
    print("\n".join([*gone, *come]))
    return 1


def _account_lines(policy: Any, args: argparse.Namespace) -> list[str]:
    from copycatch.decisions.plan import make_plan
    from copycatch.features.catalog import SPECS
    from copycatch.units import format_rfc3339

    settings = make_plan(policy, SPECS).settings_for((args.tenant, args.account, args.model or ""))
    lines = [f"mode: {settings.mode}", f"queries_min: {settings.queries_min}"]
    for severity, threshold in reversed(settings.thresholds):
        action = settings.actions.get(severity, "observe")
        lines.append(f"{severity}: tail_prob at or below {threshold:.3g}, recommends {action}")
    lines.append(f"restrictions: only at or below {settings.recommendation_threshold:.3g}")
    for title, entries in (
        ("allowed", settings.allow), ("silenced", settings.silences), ("known attack", settings.attacks),
    ):  # fmt: skip
        for entry in entries:
            until = "for ever" if entry.expires_ms is None else f"until {format_rfc3339(entry.expires_ms)}"
            lines.append(f"{title} {until}: {entry.reason}")
    return lines
