"""
Pages of other origins: a browser sends a site's cookies with the requests of any page, and lets any open a WebSocket.

Only pages of the server's own origin, and of origins that the operator allows, may use the cookies.
"""

from collections.abc import Collection, Mapping

from strawberry.http.websocket_origin import is_same_origin, normalize_origin


def is_admitted(headers: Mapping[str, str], allowed: Collection[str]) -> bool:
    """Whether the page that sent *headers* may use the browser's cookies.

    Other clients send none of these headers, and gain nothing by forging them.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is None:
        return site in (None, "none", "same-origin")
    return site == "same-origin" or is_same_origin(origin, headers.get("host")) or normalize_origin(origin) in allowed
