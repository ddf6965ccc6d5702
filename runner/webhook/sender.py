"""
The request that delivers a message, in the format of Standard Webhooks (https://www.standardwebhooks.com).

Redirects are not followed, proxies are not used, and the body of an answer is not read.
"""

import asyncio
import hmac
import ssl
import time
from base64 import b64decode, b64encode
from urllib.parse import urlsplit

import httpx

from application.webhook import WebhookTarget
from domain.webhook import PREFIX
from runner.webhook.allow_list import AddressRefused, AllowList, resolve

TIMEOUT = 15.0
"""Maximum time of a delivery, in seconds."""

AGENT = "Stageline-Webhook"

PORTS = {"http": 80, "https": 443}


class DeliveryFailed(Exception):
    """A message was not accepted. The address is *gone* if it answered 410, which asks for no more messages."""

    def __init__(self, problem: str, *, gone: bool = False) -> None:
        super().__init__(problem)
        self.gone = gone


def signature(secret: str, id_: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message: its version, and the HMAC-SHA256 in Base64."""
    key = b64decode(secret.removeprefix(PREFIX))
    signed = b"%b.%d.%b" % (id_.encode(), timestamp, body)
    return f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}"


class Sender:
    """Sends messages to what *allowed* permits."""

    def __init__(self, allowed: AllowList, tls: ssl.SSLContext | None = None) -> None:
        self._allowed = allowed
        self._tls = tls or httpx.create_ssl_context(trust_env=False)

    async def send(self, target: WebhookTarget, id_: str, body: bytes) -> None:
        """Deliver a message, whose *id_* is the same at each attempt; raises `DeliveryFailed`."""
        parts = urlsplit(target.url)
        host = parts.hostname or ""
        port = parts.port or PORTS[parts.scheme]
        now = int(time.time())
        headers = {
            "host": parts.netloc,
            "content-type": "application/json",
            "user-agent": AGENT,
            "webhook-id": id_,
            "webhook-timestamp": str(now),
            "webhook-signature": signature(target.secret, id_, now, body),
        }
        try:
            async with asyncio.timeout(TIMEOUT):
                address = await resolve(host, port, self._allowed)
                literal = f"[{address}]" if address.version == 6 else str(address)
                url = parts._replace(netloc=f"{literal}:{port}").geturl()
                async with httpx.AsyncClient(
                    verify=self._tls, trust_env=False, follow_redirects=False, timeout=TIMEOUT
                ) as client:
                    request = client.build_request(
                        "POST", url, content=body, headers=headers, extensions={"sni_hostname": host}
                    )
                    answer = await client.send(request, stream=True)
                    await answer.aclose()
        except AddressRefused as refused:
            raise DeliveryFailed(str(refused)) from None
        except TimeoutError:
            raise DeliveryFailed(f"no answer within {TIMEOUT:g} s") from None
        except httpx.ProtocolError as error:  # its text has what was answered, which no user may read
            raise DeliveryFailed("the answer is not HTTP/1.1") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if untrusted := _certificate_error(error):
                raise DeliveryFailed(
                    f"the server does not trust its certificate: {untrusted.verify_message.rstrip('.')}"
                ) from error
            raise DeliveryFailed(f"no answer: {str(error) or type(error).__name__}") from error
        if not answer.is_success:
            redirect = ", a redirect, which is not followed" if answer.is_redirect else ""
            raise DeliveryFailed(f"answered {answer.status_code}{redirect}", gone=answer.status_code == 410)


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Return the error of a certificate that caused *error*, if one did."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
