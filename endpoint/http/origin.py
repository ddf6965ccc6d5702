"""
Pages of other origins. A browser sends a site's cookies for whichever page asks, and opens WebSockets for any.

The server's own pages may use both, and those of the origins that the operator names.
"""

from collections.abc import Collection, Mapping

from strawberry.http.websocket_origin import is_same_origin, normalize_origin


def is_admitted(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether the request of a browser with *headers* is that of a page which may use the browser's cookies.

    Who is no browser sends none of these headers, and gains nothing by sending others.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None:
        return site in (None, "none", "same-origin")
    return site == "same-origin" or is_same_origin(origin, headers.get("host")) or normalize_origin(origin) in allowed
