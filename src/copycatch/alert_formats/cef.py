"""Common Event Format: one line of text."""

from copycatch.alert_formats.text import addresses_of, number_text, times_ms, title_of
from copycatch.records.wire import Alert, Severity
from copycatch.safe_text import printable

# CEF's scale: 0-3 low, 4-6 medium, 7-8 high, 9-10 very high.
_SEVERITIES: dict[Severity, int] = {"low": 3, "medium": 6, "high": 8, "critical": 10}
_NAME_CHARS_MAX = 512
_ID_CHARS_MAX = 1023  # of suid, msg and other names in the dictionary of CEF
_CUSTOM_CHARS_MAX = 4000

CEF_PATTERN = (
    r"^CEF:0\|copycatch\|copycatch\|(?:[^|\\\n]|\\[|\\])+\|(?:[^|\\\n]|\\[|\\])+\|(?:[^|\\\n]|\\[|\\])+"
    r"\|(?:3|6|8|10)\|(?:[A-Za-z0-9]+=(?:[^=\\\r\n]|\\[=\\nr])*)+$"
)


def encode_cef(alert: Alert) -> bytes:
    """One line, without an end of line; the transport (file, syslog) adds its own."""
    time_ms, first_ms, last_ms = times_ms(alert)
    features = ";".join(f"{reason.feature}:{number_text(reason.share)}" for reason in alert.reasons)
    fields: dict[str, str] = {
        "rt": str(time_ms),
        "start": str(first_ms),
        "end": str(last_ms),
        "externalId": printable(alert.uid, 40),
        "suid": printable(alert.entity.id, _ID_CHARS_MAX),
        "act": alert.op,
        "cnt": str(alert.queries),
        "cs1": ";".join(alert.techniques),
        "cs1Label": "atlasTechnique",
        "cs2": printable(alert.model_id, _CUSTOM_CHARS_MAX),
        "cs2Label": "model",
        "cs3": printable(features, _CUSTOM_CHARS_MAX),
        "cs3Label": "topFeatures",
        "cs4": alert.mode,
        "cs4Label": "mode",
        "cs5": printable(alert.recommendation or "none", _CUSTOM_CHARS_MAX),
        "cs5Label": "recommendation",
        "cs6": printable(alert.score.rank, _CUSTOM_CHARS_MAX),
        "cs6Label": "rank",
    }
    addresses = addresses_of(alert)
    if addresses:
        # The dictionary of CEF knows IPv4 in src, and IPv6 in a custom field of its own.
        is_v6 = ":" in addresses[0]
        fields |= {"c6a2": addresses[0], "c6a2Label": "sourceIPv6"} if is_v6 else {"src": addresses[0]}
    if alert.tenant_id is not None:
        fields["sourceServiceName"] = printable(alert.tenant_id, _ID_CHARS_MAX)
    if alert.score.tail_prob is not None:
        fields |= {"cfp1": number_text(alert.score.tail_prob), "cfp1Label": "tailProbability"}
    if alert.score.attack_prob is not None:
        fields |= {"cfp2": number_text(alert.score.attack_prob), "cfp2Label": "attackProbability"}
    if alert.part_of is not None:
        fields |= {"flexString1": printable(alert.part_of, 1023), "flexString1Label": "partOf"}
    if alert.drill is True:
        fields |= {"flexString2": "true", "flexString2Label": "drill"}
    fields["msg"] = printable(alert.words, _ID_CHARS_MAX)
    header = "|".join(
        (
            "CEF:0|copycatch|copycatch",
            escape_header(alert.detector_version),
            escape_header(printable(alert.rule, _NAME_CHARS_MAX)),
            escape_header(title_of(alert)),
            str(_SEVERITIES[alert.severity]),
        )
    )
    extension = " ".join(f"{key}={escape_value(value)}" for key, value in fields.items())
    return f"{header}|{extension}".encode(errors="backslashreplace")


def escape_header(text: str) -> str:
    r"""A header field: bars and backslashes are escaped; an end of line has no way to be said.

    Examples
    --------
    >>> escape_header("a|b\\c\nd")
    'a\\|b\\\\c d'
    """
    flat = text.replace("\\", "\\\\").replace("|", "\\|")
    return flat.replace("\r", " ").replace("\n", " ")


def escape_value(text: str) -> str:
    r"""A value of the extension: equals signs, backslashes and ends of line are escaped, bars are not.

    Examples
    --------
    >>> escape_value("a=b|c\nd")
    'a\\=b|c\\nd'
    """
    flat = text.replace("\\", "\\\\").replace("=", "\\=")
    return flat.replace("\r", "\\r").replace("\n", "\\n")
