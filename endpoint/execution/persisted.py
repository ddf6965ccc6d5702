"""
Documents that a request names instead of sending them.

A request names one by `documentId` (GraphQL over HTTP, appendix "Persisted Documents") or by Apollo's
`extensions.persistedQuery`; both have the SHA-256 of its text, and both find the same documents. Known are those that
the operator lists, and those that a client has once sent together with their hash.

The operator may also have nothing but listed documents answered. That holds for what is sent as text, too.
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
"""Maximum size of the documents that one node knows from its clients, in bytes: about 10,000 of 500 characters."""

REPORTED = 1000
"""Maximum number of documents that are not listed of which the log tells."""

MAX_ID = 100
"""Maximum length of a document's id in a message, in characters: the rest is left out."""

SHA256 = "sha256:"
"""Stands before a hash in `documentId`."""

MANIFEST = "apollo-persisted-query-manifest"

SHOWN = 10
"""Documents that can't be listed, of which it is said why."""


class NotPersisted(GraphQLError):
    """The document that a request names isn't known, or may not be answered."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, extensions={"code": code})


class DocumentsUnusable(Exception):
    """The operator's list of documents can't be used as it is."""


class PersistedQuery(Struct, rename="camel"):
    """Apollo's way to name a document."""

    version: int
    sha256_hash: str


class PersistedDocuments:
    """What can be named. *listed* are documents by their ids (None: there is no list, and everything is answered).

    *refuses* says what becomes of a document that isn't listed: it is refused, or answered and told of in the log.
    `edition` tells the list from those before it: what was answered under one is for nobody who asks under another.
    """

    def __init__(self, listed: Mapping[str, str] | None = None, *, refuses: bool = True) -> None:
        self._has_list = listed is not None
        self.refuses = self._has_list and refuses
        self.edition = 0
        self._listed = dict(listed or {})
        self.listed = frozenset(self._listed.values())
        self._sent: Cache[str, str] = Cache(SENT_BYTES)  # by their hashes
        self._told: set[str] = set()

    def renew(self, listed: Mapping[str, str]) -> tuple[int, int]:
        """Another list takes the place of the one that there is; how many documents came with it, and went."""
        before = self.listed
        self._listed = dict(listed)
        self.listed = frozenset(self._listed.values())
        self.edition += 1
        return len(self.listed - before), len(before - self.listed)

    def text(self, query: str | None, document: str | None, extensions: Mapping[str, Any] | None) -> str | None:
        """The document that a request means by these parameters of its; None if it names none.

        One that is sent together with its hash is known from now on. Raises `NotPersisted`.
        """
        id_ = _hash(extensions) if document is None else document.removeprefix(SHA256)
        if id_ is None:
            return None if query is None else self._checked(query)
        if query:
            checked = self._checked(query)
            self._keep(id_, checked)
            return checked
        if id_ in self._listed:
            return self._listed[id_]
        sent = self._sent.get(id_)
        if sent is None:
            raise self._not_known(id_)
        return sent

    def _checked(self, query: str) -> str:
        if not self._has_list or query in self.listed:
            return query
        id_ = hashed(query)
        if self.refuses:
            raise _not_listed(id_)
        if id_ not in self._told and len(self._told) < REPORTED:
            self._told.add(id_)
            logger.warning("Not a listed document: %s%s %s", SHA256, id_, " ".join(query.split())[:200])
        return query

    def _keep(self, id_: str, query: str) -> None:
        if self._listed.get(id_) == query:
            return
        if hashed(query) != id_:
            raise NotPersisted(
                "PERSISTED_QUERY_HASH_MISMATCH",
                f"{id_[:MAX_ID]!r} is not the SHA-256 (64 lower-case hexadecimal digits) of the document that was"
                " sent with it: hash the very text that is sent, or send it without.",
            )
        if len(query) <= MAX_KEPT:
            self._sent.put(id_, query, sys.getsizeof(query))

    def _not_known(self, id_: str) -> NotPersisted:
        if self.refuses:
            return _not_listed(id_)
        return NotPersisted("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")  # the words that clients look for


def _not_listed(id_: str) -> NotPersisted:
    return NotPersisted(
        "DOCUMENT_NOT_LISTED",
        f"This server answers listed documents only, and {id_[:MAX_ID]!r} is none of them: it has to be added to the"
        " file of `stageline serve --documents`.",
    )


def _hash(extensions: Mapping[str, Any] | None) -> str | None:
    named = (extensions or {}).get("persistedQuery")
    if named is None:
        return None
    try:
        query = msgspec.convert(named, PersistedQuery)
    except msgspec.ValidationError as fault:
        raise NotPersisted("BAD_REQUEST", f"`extensions.persistedQuery` can't be read: {fault}") from None
    if query.version != 1:
        raise NotPersisted("PERSISTED_QUERY_NOT_SUPPORTED", "PersistedQueryNotSupported")
    return query.sha256_hash.removeprefix(SHA256)


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def listed(documents: DocumentCache, file: Path, own: Iterable[str] = (), known: Container[str] = ()) -> dict[str, str]:
    """The documents of *file* and our *own* ones, by their ids and by their hashes; raises `DocumentsUnusable`.

    Those that are *known* can be answered.
    """
    found = _read(file)
    faults = [f"- {id_}: {why}" for id_, text in found.items() if (why := _fault(documents, id_, text, known))]
    if faults:
        rest = len(faults) - SHOWN
        raise DocumentsUnusable(
            "\n".join(
                [
                    f"{file} has documents that this server can't answer:",
                    *faults[:SHOWN],
                    *([f"- and {rest} more"] if rest > 0 else []),
                    "Correct them for this server's schema and write the file anew, or take them out of it.",
                ]
            )
        )
    by_id = {id_.removeprefix(SHA256): text for id_, text in found.items()}
    return by_id | {hashed(text): text for text in (*found.values(), *own)}


def _read(file: Path) -> dict[str, str]:
    """Of each of the shapes in which tools write them."""
    try:
        content = msgspec.json.decode(file.read_bytes())
    except (OSError, ValueError, RecursionError) as fault:
        raise DocumentsUnusable(f"{file} can't be read as a list of documents: {fault}") from None
    try:
        if isinstance(content, dict) and content.get("format") == MANIFEST:
            operations = msgspec.convert(content, Manifest).operations
            return {operation.id: operation.body for operation in operations}
        return msgspec.convert(content, dict[str, str])
    except msgspec.ValidationError as fault:
        raise DocumentsUnusable(
            f"{file} is no list of documents ({fault}): it may be a JSON object of ids and texts, as graphql-codegen"
            f" and the Relay compiler write it, or an {MANIFEST}, as Apollo's tools do."
        ) from None


class ManifestOperation(Struct):
    id: str
    body: str


class Manifest(Struct, tag_field="format", tag=MANIFEST):
    """What Apollo's tools write."""

    version: int
    operations: list[ManifestOperation]


def _fault(documents: DocumentCache, id_: str, text: str, known: Container[str]) -> str | None:
    """What is wrong with a document of the list."""
    if id_.startswith(SHA256) and id_ != SHA256 + hashed(text):
        return "its text has another hash"
    if text in known:
        return None
    try:
        errors: Iterable[GraphQLError] = documents.read(text).errors
    except GraphQLError as fault:  # of its syntax
        errors = [fault]
    return " ".join(map(_shown, errors)) or None


def _shown(error: GraphQLError) -> str:
    return f"{error.message} (line {error.locations[0].line})" if error.locations else error.message
