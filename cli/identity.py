"""The identity providers of a server, as its options name them."""

from collections.abc import Sequence
from typing import Any

from cli import lazy
from cli.errors import Failed, Misused
from cli.text import plain, table

HEAD = ("Provider", "Issuer", "Keys", "Result")


def checked(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Return the JSON objects of `--oidc`; raise `Misused` if one describes no provider."""
    try:
        lazy.configuration.parse(texts or ())
    except ValueError as fault:
        raise Misused(str(fault)) from None
    return tuple(texts or ())


def providers(texts: Sequence[str], public_url: str, root_path: str) -> Any:
    """Return the providers; raise `Misused` if people who sign in with one could not come back."""
    found = lazy.configuration.parse(texts)
    try:
        lazy.configuration.check_public_url(found, public_url, root_path)
    except ValueError as fault:
        raise Misused(str(fault)) from None
    return found


def inspected(found: Any) -> tuple[list[dict[str, Any]], str]:
    """Ask the providers, and return what they are like: for programs, and as a table."""
    try:
        asked = lazy.inspection.inspect(found)
    except ValueError as fault:
        raise Failed(str(fault)) from None
    findings = [{"issuer": each.issuer, "name": each.name, "keys": each.keys, "fault": each.fault} for each in asked]
    rows = [
        [plain(str("ok" if each[key] is None else each[key])) for key in ("name", "issuer", "keys", "fault")]
        for each in findings
    ]
    return findings, table(HEAD, rows) if rows else "<no identity provider>"


def fail_for(findings: Sequence[dict[str, Any]]) -> None:
    """Raise `Failed` if a provider can't be used."""
    faults = [each["fault"] for each in findings if each["fault"]]
    if faults:
        raise Failed(f"{len(faults)} of {len(findings)} identity providers can't be used.")
