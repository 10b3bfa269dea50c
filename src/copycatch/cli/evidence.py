"""`copycatch evidence`: an incident as a signed folder, and the check of one."""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from copycatch.cli.format_options import add_format_arguments, decoders_of
from copycatch.cli.options import (
    add_kafka_arguments,
    add_token_argument,
    desk_token,
    kafka_of,
    policy_of,
    tell_faults,
    tell_left_out,
)
from copycatch.errors import ConfigError

DESCRIPTION = """\
Write an incident into a folder that can be handed over, or check such a folder.

  evidence UID     plays the log once more, and writes the alert as computed, what was recommended, the
                   records of its accounts (keyed hashes of them, unless --with-records), policy, versions,
                   recipe, a page to read (incident.html) and a manifest: a DSSE envelope around an in-toto
                   statement with the SHA-256 of every file and their Merkle root (RFC 6962),
                   signed by your key.
  evidence verify  names each file that was changed, is missing or was added; with --recompute it also plays
                   the log and compares the alert bit for bit.

The key of the record hashes is written beside the folder (FOLDER.hash-key): give it to whoever may compare
records with the log, and to nobody else.
"""
EPILOG = """\
examples:
  openssl genpkey -algorithm ed25519 -out key.pem && openssl pkey -in key.pem -pubout -out key.pub.pem
  copycatch evidence 3f2a91 --log gateway.jsonl.gz --policy policy.yaml --alerts alerts.jsonl --key key.pem -o pack/
  copycatch evidence verify pack/ --public-key key.pub.pem
  copycatch evidence verify pack/ --public-key key.pub.pem --recompute --log gateway.jsonl.gz

exit codes: 0 written, or as it was signed; 1 no such alert, or what was announced differs from what the log
  gives (the pack is written and says so), or something was changed; 2 wrong options; 3 a file cannot be read
  or written, or the signature is not by this key
"""  # noqa: E501
PASSWORD = "COPYCATCH_EVIDENCE_PASSWORD"  # noqa: S105 (the variable's name)
VERIFY = "verify"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "evidence",
        help="write an incident into a signed folder, or verify one",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="UID|verify", help="the alert (its first characters are enough)")
    parser.add_argument("pack", nargs="?", type=Path, metavar="PACK", help="the folder to verify")
    parser.add_argument("--log", nargs="+", default=[], metavar="FILE", help="the log, files or folders")
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="where the pack goes; new or empty")
    parser.add_argument("--key", type=Path, metavar="FILE", help=f"private key, PEM ({PASSWORD})")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="policy to judge by (default: built in)")
    parser.add_argument("--alerts", metavar="SOURCE", help="alerts as announced: file, topic or live pages")
    add_token_argument(parser)
    add_kafka_arguments(parser, "--alerts is a topic")
    add_format_arguments(parser, default=None)
    parser.add_argument("--with-records", action="store_true", help="put the queries into the pack, whole")
    parser.add_argument("--public-key", type=Path, metavar="FILE", help="the operator's public key, PEM")
    parser.add_argument(
        "--recompute", action="store_true", help="compute the alert once more from --log, and compare"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write or verify; see EPILOG for the exit codes."""
    if "-" in args.log:
        msg = "--log -: is read more than once; name a file"
        raise ConfigError(msg)
    return _verify(args) if args.what == VERIFY else _write(args)


def _required(value: Any, option: str, why: str) -> None:
    if not value:
        msg = f"evidence: {option} is missing: {why}"
        raise ConfigError(msg)


def _write(args: argparse.Namespace) -> int:
    from copycatch.adapters.clock import SystemClock
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.evidence.log import log_files
    from copycatch.desk.evidence.manifest import signer_of
    from copycatch.desk.evidence.pack import Source, hash_key_file, write_pack
    from copycatch.desk.evidence.recipe import recompute
    from copycatch.service.logs import logging_at

    _required(args.log, "--log", "the log that the alert rests on")
    _required(args.out, "--out", "the folder to write")
    _required(args.key, "--key", "the private key that signs")
    _check_is_free(args.out, hash_key_file(args.out))
    password = os.environ.get(PASSWORD)
    signer = signer_of(args.key, None if password is None else password.encode())
    policy, make_decoder, now_ms = policy_of(args.policy), decoders_of(args), SystemClock().now_ms()
    announced = _announced(args)
    log = log_files(args.log)
    with logging_at("warning"), ReplayBar(is_quiet=not sys.stderr.isatty()) as bar:
        found = recompute(args.what, args.log, policy, make_decoder, now_ms, bar.update)
    uids = sorted({alert.uid for alert in [*found.alerts, *(announced or [])]})
    if len(uids) != 1 or not found.alerts:
        what = "the log and the policy give no such alert" if not found.alerts else "more than one begins so"
        print(f"{args.what}: {what}", file=sys.stderr)
        return 1
    source = Source(
        args.log, make_decoder, args.format, args.option, policy, args.policy, args.with_records, now_ms
    )
    differs = write_pack(args.out, source, log, found, announced, signer)
    print(f"{args.out}: written and signed, key id {signer.public_key.keyid}", file=sys.stderr)
    for each in differs or ():
        print(f"announced and recomputed differ: {each}")
    return 1 if differs else 0


def _check_is_free(folder: Path, hash_key: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"--out {folder}: is there already; name a new folder"
        raise ConfigError(msg)
    if hash_key.exists():
        msg = f"{hash_key}: is there already, the key of an earlier pack; name another folder"
        raise ConfigError(msg)


def _announced(args: argparse.Namespace) -> list[Any] | None:
    from copycatch.desk.reading import read_announced

    if args.alerts is None:
        return None
    token = desk_token(args, [args.alerts])
    found = read_announced([args.alerts], kafka_of(args), wants="alert", token=token)
    tell_left_out(found.n_left_out)
    tell_faults(found.faults, found.n_faults)
    return [alert for alert in found.alerts if alert.uid.startswith(args.what)]


def _verify(args: argparse.Namespace) -> int:
    from copycatch.desk.evidence.manifest import MANIFEST, differing_files, public_key_of, read_manifest

    _required(args.pack, "PACK", "the folder to verify")
    _required(args.public_key, "--public-key", "a pack's own word about who signed it proves nothing")
    if args.recompute:
        _required(args.log, "--log", "the log to compute the alert from")
    hash_by_name = read_manifest(args.pack / MANIFEST, public_key_of(args.public_key))
    faults = differing_files(args.pack, hash_by_name)
    if faults:
        print("\n".join(faults))
        return 1
    print(f"{len(hash_by_name)} files are as they were signed")
    return _recompute(args) if args.recompute else 0


def _recompute(args: argparse.Namespace) -> int:
    from copycatch.cli.progress import ReplayBar
    from copycatch.desk.evidence.log import log_files
    from copycatch.desk.evidence.recipe import (
        ALERTS,
        BUILT_IN,
        POLICY,
        differences,
        read_recipe,
        recompute,
        versions_here,
    )
    from copycatch.desk.reading import read_announced
    from copycatch.service.logs import logging_at

    recipe = read_recipe(args.pack)
    here = versions_here()
    for name, number in recipe.versions.items():
        if here.get(name) != number:
            print(f"{name} was {number}, here it is {here.get(name)}", file=sys.stderr)
    if [(f.n_bytes, f.sha256) for f in log_files(args.log)] != [(f.n_bytes, f.sha256) for f in recipe.log]:
        names = ", ".join(each.name for each in recipe.log)
        print(f"changed: the log is not the one that was signed ({names}, in this order)")
        return 1
    args.format, args.option = args.format or recipe.format, args.option or recipe.options
    policy = policy_of(None if recipe.policy_version == BUILT_IN else args.pack / POLICY)
    with logging_at("warning"), ReplayBar(is_quiet=not sys.stderr.isatty()) as bar:
        found = recompute(recipe.uid, args.log, policy, decoders_of(args), recipe.now_ms, bar.update)
    if found.lines == (args.pack / ALERTS).read_bytes():
        print(f"alert {recipe.uid}: recomputed, {len(found.alerts)} revisions, bit for bit the same")
        return 0
    signed = read_announced([str(args.pack / ALERTS)], wants="alert").alerts
    print("\n".join(f"recomputed otherwise: {each}" for each in differences(signed, found.alerts)))
    return 1
