"""`copycatch schemas`: write or check the JSON Schemas."""

import argparse
import sys
from pathlib import Path

from copycatch.contracts.schemas import (
    MAJOR,
    MESSAGES,
    alert_format_schemas,
    message_schema,
    policy_json_schema,
    schema_id,
    to_text,
)
from copycatch.contracts.settings_table import settings_table

DESCRIPTION = """\
Write the JSON Schemas (2020-12) of every message and of the policy file. They are generated from the classes
that copycatch itself decodes and encodes with. Topics and keys are in schemas/v1/asyncapi.yaml (AsyncAPI 3).

settings.md is the table of all settings: key, environment variable, flag, default, words.

Use them to check what your gateway writes before copycatch does, to generate client code, or to let your
editor complete the policy: put this on the first line of policy.yaml
  # yaml-language-server: $schema=schemas/v1/policy.schema.json

exit codes: 0 written, or up to date; 1 --check found files that differ; 2 wrong usage
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "schemas",
        help="write the JSON Schemas of messages and of the policy",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("schemas"), metavar="DIR", help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; report files that differ from what would be written",
    )
    parser.set_defaults(run=run)


def texts_by_path() -> dict[Path, str]:
    """Every file below the folder, with its content."""
    folder = Path(MAJOR)
    texts = {folder / message.file_name: to_text(message_schema(message)) for message in MESSAGES}
    texts |= {folder / "findings" / name: to_text(schema) for name, schema in alert_format_schemas().items()}
    texts[folder / "policy.schema.json"] = to_text(policy_json_schema(schema_id("policy.schema.json")))
    texts[folder / "settings.md"] = settings_table()
    return texts


def run(args: argparse.Namespace) -> int:
    """Write or compare; see DESCRIPTION for the exit codes."""
    out: Path = args.out
    stale = []
    for path, text in texts_by_path().items():
        target = out / path
        is_same = target.is_file() and target.read_text(encoding="utf-8") == text
        if is_same:
            continue
        if args.check:
            stale.append(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        print(f"wrote {target}")
    for target in stale:
        state = "differs" if target.exists() else "is missing"
        print(f"{target} {state}; run `copycatch schemas --out {out}`", file=sys.stderr)
    if not stale and args.check:
        print(f"{out / MAJOR} is up to date")
    return 1 if stale else 0
