"""Facts about MITRE ATLAS and severities that several output formats repeat."""

import ipaddress
from typing import NamedTuple

from copycatch.records.wire import Alert, Reason, Severity
from copycatch.safe_text import printable
from copycatch.units import parse_rfc3339

ATLAS_VERSION = "5.6.0"
_SITE = "https://atlas.mitre.org"

# The usual scale of SIEM rules: each severity in the middle of its quarter of 0 to 100, critical at the end.
RISK_SCORES: dict[Severity, int] = {"low": 21, "medium": 47, "high": 73, "critical": 99}


class Technique(NamedTuple):
    """A technique of ATLAS; `parent` is its own id where it is none of another's."""

    id: str
    name: str
    parent: str


TACTIC_ID, TACTIC_NAME = "AML.TA0010", "Exfiltration"
_NAMES: dict[str, str] = {
    "AML.T0021": "Establish Accounts",
    "AML.T0024": "Exfiltration via AI Inference API",
    "AML.T0024.000": "Infer Training Data Membership",
    "AML.T0024.001": "Invert AI Model",
    "AML.T0024.002": "Extract AI Model",
}


def technique_of(technique_id: str) -> Technique:
    """Name and parent of a technique; one that is not known is named by its id.

    Examples
    --------
    >>> technique_of("AML.T0024.002")
    Technique(id='AML.T0024.002', name='Extract AI Model', parent='AML.T0024')
    >>> technique_of("AML.T9999").name
    'AML.T9999'
    """
    parts = technique_id.split(".")
    parent = ".".join(parts[:2])
    return Technique(technique_id, _NAMES.get(technique_id, technique_id), parent)


def technique_url(technique_id: str) -> str:
    """Where ATLAS describes it."""
    return f"{_SITE}/techniques/{technique_id}"


def tactic_url() -> str:
    """Where ATLAS describes the tactic."""
    return f"{_SITE}/tactics/{TACTIC_ID}"


def title_of(alert: Alert) -> str:
    """One line for lists of findings.

    Ids come from logs, so control characters in them are escaped: a terminal must not obey them.
    """
    if alert.drill is True:
        return printable(f"DRILL, not an attack: {alert.entity.id} on {alert.model_id}", 256)
    if alert.entity.kind == "model":
        return printable(f"Model not judged: {alert.model_id}", 256)
    count = alert.entity.accounts_total
    who = alert.entity.id if alert.entity.kind == "account" else f"{count} accounts acting as one"
    return printable(f"Possible model extraction: {who} on {alert.model_id}", 256)


def number_text(value: float | None) -> str:
    """A number as people write it: six digits, no needless zeros.

    Examples
    --------
    >>> number_text(0.123456789), number_text(1842.0), number_text(None)
    ('0.123457', '1842', 'unknown')
    """
    return "unknown" if value is None else f"{value:.6g}"


def normal_text(reason: Reason) -> str:
    """The range of normal accounts, or what is known of it.

    Examples
    --------
    >>> normal_text(Reason(feature="f", value=1.0, normal_low=0.1, normal_high=None, tail_prob=None,
    ...                    share=0.5, words=""))
    '0.1 to unknown'
    """
    return f"{number_text(reason.normal_low)} to {number_text(reason.normal_high)}"


def times_ms(alert: Alert) -> tuple[int, int, int]:
    """Epoch milliseconds of the finding, and of the first and latest query behind it."""
    return parse_rfc3339(alert.time), parse_rfc3339(alert.first_seen), parse_rfc3339(alert.last_seen)


def addresses_of(alert: Alert) -> list[str]:
    """Client addresses that are addresses.

    A forwarded-for header may hold anything, and an index whose field is of type ip refuses the whole
    document over one wrong word.
    """
    found = []
    for text in alert.client_ips:
        try:
            found.append(str(ipaddress.ip_address(text.partition("%")[0])))
        except ValueError:
            continue  # a masked address or a host name: the native alert still has it
    return found
