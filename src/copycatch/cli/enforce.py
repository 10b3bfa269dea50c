"""`copycatch enforce`: the reference enforcement point as an Envoy ext_authz service."""

import argparse
import signal
import sys
import threading
from pathlib import Path

DESCRIPTION = """\
Answer a gateway's question "may this request pass?" from the recommendations topic.

Reads the compacted topic from its start, then follows it; honours expiry, shadow mode and revisions; sends
acknowledgements. Speaks Envoy's ext_authz over HTTP, which Envoy Gateway, Envoy AI gateway, Istio and Contour
can call; nginx (auth_request) and Traefik (ForwardAuth) understand its answers too.

  200  pass; x-copycatch-action and x-copycatch-max-top-logprobs, ... say what the model server should reduce
  403  blocked        429  throttled, with Retry-After

The gateway must set the account header itself and drop what clients send under its name. A block holds for
the account in every tenant and on every model; with --authenticated tenant or model only where they agree
(the gateway must set that header too). Of repeated headers each counts, and the strongest action prevails.

It fails open: until the recommendations have been read (no broker, no topic), and for a request without an
account, the answer is 200. --fail-closed refuses both. GET /-/ready says 503 until they have been read, then
200, with the entries in force, requests refused, and requests without an account ("unidentified").

reduce_output is not done here but by the model server, from the headers above. Without --model-server-reduces
its fallback (throttle) is done instead, and the acknowledgement says so. Without the acks topic nothing is
acknowledged; a warning says it, and the rest goes on.
For Python servers there is copycatch.enforcement.middleware.EnforcementMiddleware (ASGI).
"""
EPILOG = """\
examples:
  copycatch enforce --kafka broker:9092 --port 9191
  copycatch enforce --settings settings.yaml --account-header x-consumer-custom-id
  copycatch enforce --recommendations recommendations.jsonl

exit codes: 0 stopped by a signal; 2 wrong options or settings; 3 the port cannot be used
"""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "enforce",
        help="answer a gateway's authorisation requests from the recommendations",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="service settings: broker and topic names"
    )
    parser.add_argument(
        "--recommendations",
        type=Path,
        metavar="FILE",
        help="follow this file, as replay and run write it, instead of the topic; sends no acknowledgements",
    )
    parser.add_argument("--kafka", metavar="HOST:PORT", help="broker (default: that of the settings)")
    parser.add_argument(
        "--acks-topic", default="copycatch.acks", help="empty sends none (default: %(default)s)"
    )
    parser.add_argument("--bind", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=9191, help="port to listen on (default: %(default)s)")
    for name, default in (("account", "x-account-id"), ("tenant", "x-tenant-id"), ("model", "x-ai-eg-model")):
        parser.add_argument(
            f"--{name}-header",
            default=default,
            metavar="NAME",
            help=f"names the {name} (default: %(default)s)",
        )
    parser.add_argument(
        "--authenticated",
        action="append",
        choices=("tenant", "model"),
        default=[],
        help="the gateway sets this header itself: what disagrees with it does not hold (may be repeated)",
    )
    parser.add_argument(
        "--fail-closed",
        action="store_true",
        help="503 until the recommendations have been read, 403 to requests that name no account",
    )
    parser.add_argument(
        "--model-server-reduces",
        action="store_true",
        help="the model server heeds x-copycatch-action: reduce_output counts as applied",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; see EPILOG for the exit codes."""
    from copycatch.adapters.clock import SystemClock
    from copycatch.enforcement.ext_authz import ExtAuthzServer
    from copycatch.enforcement.feed import Feed
    from copycatch.enforcement.file_feed import FileFeed
    from copycatch.enforcement.requests import HeaderNames
    from copycatch.enforcement.table import SUPPORTED, DecisionTable
    from copycatch.errors import TransportError
    from copycatch.settings.service import load_service

    settings = load_service(args.settings)
    kafka = settings.kafka
    if args.kafka is not None:
        kafka = kafka.model_copy(update={"bootstrap_servers": args.kafka.split(",")})
    supported = SUPPORTED if args.model_server_reduces else SUPPORTED - {"reduce_output"}
    clock, table = SystemClock(), DecisionTable(supported)
    feed: Feed | FileFeed
    if args.recommendations is None:
        feed = Feed(kafka, table, clock.now_ms, settings.outputs.recommendations, args.acks_topic)
    else:
        feed = FileFeed(args.recommendations, table, clock.now_ms)
    names = HeaderNames(
        account=args.account_header.lower(),
        tenant=args.tenant_header.lower(),
        model=args.model_header.lower(),
        authenticated=frozenset(args.authenticated),
    )
    try:
        server = ExtAuthzServer(
            args.bind, args.port, table, clock.now_ms, lambda: feed.is_ready, names, args.fail_closed
        )
    except OSError as error:
        msg = f"enforce: cannot listen on {args.bind}:{args.port}: {error.strerror}"
        raise TransportError(msg) from error
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    feed.start()
    server.start()
    print(f"answering on {args.bind}:{server.port}", file=sys.stderr, flush=True)
    stopped.wait()
    server.close()
    feed.stop()
    return 0
