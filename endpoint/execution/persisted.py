"""
Persisted documents: documents that a request names by an id instead of sending their text.

A request names one by `documentId` (GraphQL over HTTP, appendix "Persisted Documents") or by Apollo's
`extensions.persistedQuery`. Both are the SHA-256 of the text, and both find the same documents: those that the operator
lists, and those that a client has sent together with their hash.

The operator may also refuse all documents that are not listed, even if their text is sent.
"""

import hashlib
import logging
import sys
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
from graphql import GraphQLError
from msgspec import Struct

from cache.lru import Cache
from endpoint.execution.documents import MAX_KEPT, DocumentCache

logger = logging.getLogger("stageline.gql")

SENT_BYTES = 8 * 1024 * 1024
"""Maximum size of the documents that clients have registered on a node, in bytes: about 10,000 of 500 characters."""

REPORTED = 1000
"""Maximum number of unlisted documents that are logged."""

MAX_ID = 100
"""Maximum length of a document's id in a message, in characters; the rest is cut off."""

SHA256 = "sha256:"
"""Prefix of a hash in `documentId`."""

MANIFEST = "apollo-persisted-query-manifest"
"""Format of the lists that Apollo's tools write."""

SHOWN = 10
"""Maximum number of invalid documents that a message about a list names."""


class NotPersisted(GraphQLError):
    """The document that a request names is unknown, or must not be answered."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, extensions={"code": code})


class DocumentsUnusable(Exception):
    """The operator's list of documents is invalid or cannot be read."""


class PersistedQuery(Struct, rename="camel"):
    """The extension by which Apollo's clients name a document."""

    version: int
    sha256_hash: str


class PersistedDocuments:
    """The documents that requests can name. *listed* are documents by their ids; without a list, all are answered.

    *refuses*: documents that are not listed are refused; else they are answered and logged. `edition` counts the
    lists: an answer that was cached under one list is not sent under another.
    """

    def __init__(self, listed: Mapping[str, str] | None = None, *, refuses: bool = True) -> None:
        self._has_list = listed is not None
        self.refuses = self._has_list and refuses
        self.edition = 0
        self._listed = dict(listed or {})
        self.listed = frozenset(self._listed.values())
        self._sent: Cache[str, str] = Cache(SENT_BYTES)  # by hash
        self._reported: set[str] = set()

    def renew(self, listed: Mapping[str, str]) -> tuple[int, int]:
        """Replace the list; return how many documents were added and removed."""
        before = self.listed
        self._listed = dict(listed)
        self.listed = frozenset(self._listed.values())
        self.edition += 1
        return len(self.listed - before), len(before - self.listed)

    def text(self, query: str | None, document: str | None, extensions: Mapping[str, Any] | None) -> str | None:
        """Return the document that the parameters of a request select; None if they select none.

        Registers a document that is sent together with its hash. Raises `NotPersisted`.
        """
        id_ = _hash(extensions) if document is None else document.removeprefix(SHA256)
        if id_ is None:
            return None if query is None else self._check(query)
        if query:
            checked = self._check(query)
            self._keep(id_, checked)
            return checked
        if id_ in self._listed:
            return self._listed[id_]
        sent = self._sent.get(id_)
        if sent is None:
            raise self._unknown(id_)
        return sent

    def _check(self, query: str) -> str:
        if not self._has_list or query in self.listed:
            return query
        id_ = sha256(query)
        if self.refuses:
            raise _unlisted(id_)
        if id_ not in self._reported and len(self._reported) < REPORTED:
            self._reported.add(id_)
            logger.warning("Document is not listed: %s%s %s", SHA256, id_, " ".join(query.split())[:200])
        return query

    def _keep(self, id_: str, query: str) -> None:
        if self._listed.get(id_) == query:
            return
        if sha256(query) != id_:
            raise NotPersisted(
                "PERSISTED_QUERY_HASH_MISMATCH",
                f"{id_[:MAX_ID]!r} is not the SHA-256 (64 lower-case hexadecimal digits) of the document that was"
                " sent with it: hash the exact text that is sent, or send no hash.",
            )
        if len(query) <= MAX_KEPT:
            self._sent.put(id_, query, sys.getsizeof(query))

    def _unknown(self, id_: str) -> NotPersisted:
        if self.refuses:
            return _unlisted(id_)
        return NotPersisted("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")  # the message that clients match


def _unlisted(id_: str) -> NotPersisted:
    return NotPersisted(
        "DOCUMENT_NOT_LISTED",
        f"This server answers listed documents only, and {id_[:MAX_ID]!r} is not listed: add it to the file of"
        " `stageline serve --documents`.",
    )


def _hash(extensions: Mapping[str, Any] | None) -> str | None:
    named = (extensions or {}).get("persistedQuery")
    if named is None:
        return None
    try:
        query = msgspec.convert(named, PersistedQuery)
    except msgspec.ValidationError as fault:
        raise NotPersisted("BAD_REQUEST", f"Invalid `extensions.persistedQuery`: {fault}") from None
    if query.version != 1:
        raise NotPersisted("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
    return query.sha256_hash.removeprefix(SHA256)


def sha256(text: str) -> str:
    """Return the SHA-256 of *text* in hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def read_list(
    documents: DocumentCache, file: Path, own: Iterable[str] = (), known: Container[str] = ()
) -> dict[str, str]:
    """Return the documents of *file* and the *own* ones, by id and by hash; raises `DocumentsUnusable`.

    Documents in *known* are valid, and are not checked again.
    """
    found = _read(file)
    faults = [f"- {id_}: {why}" for id_, text in found.items() if (why := _fault(documents, id_, text, known))]
    if faults:
        rest = len(faults) - SHOWN
        raise DocumentsUnusable(
            "\n".join(
                [
                    f"{file} has documents that are invalid for this server:",
                    *faults[:SHOWN],
                    *([f"- and {rest} more"] if rest > 0 else []),
                    "Correct them for this server's schema, or remove them from the file.",
                ]
            )
        )
    by_id = {id_.removeprefix(SHA256): text for id_, text in found.items()}
    return by_id | {sha256(text): text for text in (*found.values(), *own)}


def _read(file: Path) -> dict[str, str]:
    """Return the documents of *file* by id, in any of the formats that tools write."""
    try:
        content = msgspec.json.decode(file.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise DocumentsUnusable(f"Cannot read the list of documents {file}: {fault}") from None
    try:
        if isinstance(content, dict) and content.get("format") == MANIFEST:
            operations = msgspec.convert(content, Manifest).operations
            return {operation.id: operation.body for operation in operations}
        return msgspec.convert(content, dict[str, str])
    except msgspec.ValidationError as fault:
        raise DocumentsUnusable(
            f"Invalid list of documents {file}: {fault}. Write a JSON object of ids and texts, like graphql-codegen and"
            f" the Relay compiler, or an {MANIFEST}, like Apollo's tools."
        ) from None


class ManifestOperation(Struct):
    """A document of a manifest."""

    id: str
    body: str


class Manifest(Struct, tag_field="format", tag=MANIFEST):
    """A list of documents as Apollo's tools write it."""

    version: int
    operations: list[ManifestOperation]


def _fault(documents: DocumentCache, id_: str, text: str, known: Container[str]) -> str | None:
    """Return the errors of a document of the list; None if it is valid."""
    if id_.startswith(SHA256) and id_ != SHA256 + sha256(text):
        return "the id is not the SHA-256 of the text"
    if text in known:
        return None
    try:
        errors: Iterable[GraphQLError] = documents.read(text).errors
    except GraphQLError as fault:  # a syntax error
        errors = [fault]
    return " ".join(map(_text, errors)) or None


def _text(error: GraphQLError) -> str:
    return f"{error.message} (line {error.locations[0].line})" if error.locations else error.message
