"""Attacks over HTTP."""

import json
from collections.abc import Mapping
from hashlib import sha256
from random import Random
from urllib.parse import quote, urlencode

from tests.fuzz import documents, grammar, odd
from tests.fuzz.attack import Attack, End, Pause, Send
from tests.fuzz.grammar import Operation
from tests.fuzz.world import World

JSON = "application/json"
GRAPHQL = "application/graphql-response+json"
EVENTS = "text/event-stream"
PARTS = "multipart/mixed;boundary=graphql;subscriptionSpec=1.0"

Headers = tuple[tuple[str, str], ...]


def request(method: str, target: str, headers: Headers, body: bytes = b"", *, has_length: bool = True) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: stageline", *(f"{name}: {value}" for name, value in headers)]
    if has_length and (body or method == "POST"):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def encoded(parameters: object) -> bytes:
    """As JSON; lone surrogates are escaped."""
    return json.dumps(parameters).encode()


def parameters(operation: Operation) -> dict[str, object]:
    return {"query": operation.text, "variables": operation.variables, "operationName": operation.name}


def credentials(chance: Random, world: World) -> tuple[Headers, bool]:
    """An Authorization header, and whether it lets in."""
    if chance.random() < 0.85:
        return (("Authorization", f"{chance.choice(('Bearer', 'bearer'))} {chance.choice(world.tokens)}"),), True
    token = chance.choice(world.bad_tokens)
    given = (
        f"Bearer {token}",
        f"Bearer {odd.mutated(chance, world.tokens[0])}".replace("\r", "").replace("\n", ""),
        f"Bearer {chance.choice(chr(0xE9) + 'x')}" + "y" * odd.size(chance, 50_000),
        f"Basic {token}",
        "Bearer",
        "Bearer ",
        token,
        "",
    )
    choice = chance.randrange(len(given) + 1)
    return (() if choice == len(given) else (("Authorization", given[choice]),)), False


def posted(chance: Random, world: World, body: bytes, kind: str, accept: str = "") -> Attack:
    allowed, is_good = credentials(chance, world)
    accepted = accept or chance.choice((JSON, GRAPHQL, "*/*", f"{GRAPHQL}, {JSON};q=0.5"))
    headers = (("Content-Type", JSON), ("Accept", accepted), *allowed, *_extras(chance))
    return Attack(kind, (Send(request("POST", "/graphql", headers, body)),), End.ANSWERED, is_good)


def _extras(chance: Random) -> Headers:
    if chance.random() < 0.8:
        return ()
    return (
        chance.choice(
            (
                ("Accept-Encoding", "gzip"),
                ("Stageline-Origin", chance.choice(("cli", "console", "engine", "x", odd.TIMES[8]))),
                ("Origin", chance.choice(("http://evil.example", "null", "http://stageline"))),
                ("Cookie", "a=" + "b" * odd.size(chance, 5_000)),
                ("If-None-Match", '"' + "0" * 40 + '"'),
                ("X-Forwarded-Proto", "https"),
                (
                    "X-Forwarded-Prefix",
                    chance.choice(("/a", "/a/b/", "//evil.example", "/..", "/" + "x" * 5000, "\xff")),
                ),
                ("Last-Event-ID", "WyJ4IiwxXQ"),
                ("Expect", "100-continue"),
                ("Content-Encoding", "gzip"),
                ("Connection", chance.choice(("close", "keep-alive, x", "upgrade"))),
            )
        ),
    )


def query(chance: Random, world: World) -> Attack:
    return posted(chance, world, encoded(parameters(grammar.operation(chance, world, "query"))), "query")


def mutation(chance: Random, world: World) -> Attack:
    return posted(chance, world, encoded(parameters(grammar.operation(chance, world, "mutation"))), "mutation")


def abuse(chance: Random, world: World) -> Attack:
    return posted(chance, world, encoded(parameters(grammar.abuse(chance, world))), "abuse")


def document(chance: Random, world: World) -> Attack:
    """A pipeline as a document, right or odd."""
    text = documents.document(chance)
    given = {"environment": world.ids["environment"][chance.randrange(2)], "document": text}
    declared = "($environment: ID!, $document: String!, $dryRun: Boolean! = false)"
    if chance.random() < 0.5:
        difference = "documentDiff(environment: $environment, document: $document) { to { version } }"
        asked = f"query {declared} {{ {difference} }}"
        asked = asked.replace(", $dryRun: Boolean! = false", "")
    else:
        asked = (
            f"mutation {declared} {{ applyPipeline(environment: $environment, document: $document, dryRun: $dryRun)"
            " { ... on PipelinePayload { pipeline { version } } ... on Refusal { code message } } }"
        )
    variables = {**given, "dryRun": chance.random() < 0.5}
    return posted(chance, world, encoded({"query": asked, "variables": variables}), "document")


def by_get(chance: Random, world: World) -> Attack:
    asked = grammar.operation(chance, world, chance.choice(("query", "query", "query", "mutation", "subscription")))
    text = asked.text.encode(errors="replace").decode()
    given: dict[str, str] = {"query": text, "variables": json.dumps(asked.variables)}
    if asked.name:
        given["operationName"] = asked.name
    if chance.random() < 0.1:
        given[chance.choice(("extensions", "documentId", "variables"))] = (
            odd.string(chance).encode(errors="replace").decode()
        )
    target = "/graphql?" + urlencode(given)
    if chance.random() < 0.1:
        target = "/graphql?" + odd.mutated(chance, urlencode(given)).replace(" ", "+").replace("\n", "").replace(
            "\r", ""
        )
    allowed, is_good = credentials(chance, world)
    data = request("GET", target, (("Accept", JSON), *allowed, *_extras(chance)))
    is_long = len(target) > 60_000  # it may be refused without an answer
    return Attack("query by GET", (Send(data),), End.READ if is_long else End.ANSWERED, is_good)


def events(chance: Random, world: World) -> Attack:
    """An event stream, read for a little while."""
    asked = grammar.operation(chance, world, chance.choice(("subscription", "subscription", "query", "mutation")))
    attack = posted(chance, world, encoded(parameters(asked)), "event stream", chance.choice((EVENTS, EVENTS, PARTS)))
    end = chance.choice((End.READ, End.READ, End.ABORTED, End.DEAF, End.HALF_CLOSED))
    return Attack(attack.kind, attack.steps, end, attack.is_good)


def persisted(chance: Random, world: World) -> Attack:
    asked = grammar.operation(chance, world, "query")
    hashed = sha256(asked.text.encode(errors="surrogatepass")).hexdigest()
    version = chance.choice((1, 1, 1, 2, "1", None, -1))
    named: Mapping[str, object] = chance.choice(
        (
            {"documentId": f"sha256:{hashed}"},
            {"documentId": odd.string(chance)},
            {"documentId": odd.value(chance)},
            {"extensions": {"persistedQuery": {"version": version, "sha256Hash": hashed}}},
            {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": odd.string(chance)}}},
            {"extensions": {"persistedQuery": odd.value(chance)}},
            {"extensions": odd.value(chance)},
        )
    )
    sent = parameters(asked) if chance.random() < 0.5 else {"variables": asked.variables}
    return posted(chance, world, encoded({**sent, **named}), "persisted document")


def body(chance: Random, world: World) -> Attack:
    """What isn't the JSON of a request."""
    count = odd.size(chance)
    right = parameters(grammar.operation(chance, world, "query"))
    bodies = (
        lambda: b"[" * count + b"]" * count,
        lambda: b'{"a":' * count + b"1" + b"}" * count,
        lambda: b'{"query":"{ cursor }","variables":' + b"[" * count + b"]" * count + b"}",
        lambda: b'{"query":"{ cursor }","variables":{"x":' + b"9" * count + b"}}",
        lambda: b'{"query":"{ cursor }","variables":{"x":1e' + b"9" * min(count, 5_000) + b"}}",
        lambda: b"[" + b'{"query":"{ cursor }"},' * min(count, 10_000) + b"{}]",
        lambda: b'{"query":"{ cursor }",' + b'"x":1,' * count + b'"query":"{ cursor }"}',
        lambda: b'{"query":"\xff\xfe"}',
        lambda: b'{"query":"\\ud800"}',
        lambda: b'{"query":"' + b"\\u0000" * count + b'"}',
        lambda: b"\xef\xbb\xbf" + encoded(right),
        lambda: encoded(right).decode().encode("utf-16"),
        lambda: b"",
        lambda: b" " * count,
        lambda: b"NaN",
        lambda: encoded({**right, chance.choice(list(right)): odd.value(chance)}),
        lambda: encoded({**right, "variables": odd.value(chance)}),
        lambda: odd.damaged(chance, encoded(right)),
    )
    attack = posted(chance, world, chance.choice(bodies)(), "body")
    if chance.random() > 0.2:
        return attack
    allowed, is_good = credentials(chance, world)
    types = (
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "",
        "x",
        "application/graphql",
    )
    given = chance.choice(types)
    data = request("POST", "/graphql", (("Content-Type", given), *allowed), encoded(right))
    return Attack("body", (Send(data),), End.ANSWERED, is_good)


def export(chance: Random, world: World) -> Attack:
    cursor = chance.choice(world.ids["cursor"])
    after = chance.choice(
        (
            "0",
            "1",
            "-1",
            "99999999",
            "9" * 15,
            "9" * 16,
            "²",
            "",
            cursor,
            odd.mutated(chance, cursor),
            odd.string(chance),
        )
    )
    allowed, is_good = credentials(chance, world)
    target = "/audit/export?after=" + quote(after.encode(errors="replace"))[:10_000]
    data = request(chance.choice(("GET", "GET", "GET", "POST")), target, allowed)
    end = chance.choice((End.ANSWERED, End.ANSWERED, End.ANSWERED, End.ABORTED, End.DEAF))
    return Attack("export", (Send(data),), end, is_good)


def session(chance: Random, world: World) -> Attack:
    allowed, is_good = credentials(chance, world)
    if chance.random() < 0.5:
        data = request(
            "POST", "/graphql/session", (*allowed, *_extras(chance)), odd.string(chance)[:100].encode(errors="replace")
        )
        return Attack("session", (Send(data),), End.ANSWERED, is_good)
    value = chance.choice(
        (chance.choice(world.bad_tokens), "", "x" * odd.size(chance, 10_000), '"\\', "=;=;", world.tokens[0])
    )
    headers = (("Accept", EVENTS), ("Cookie", f"stageline_stream={value}"), *_extras(chance))
    target = "/graphql?" + urlencode({"query": "{ cursor }"})
    return Attack("session", (Send(request("GET", target, headers)),), End.READ, is_good=False)


def path(chance: Random, world: World) -> Attack:
    """Other addresses than the API's."""
    known = ("/", "/health", "/health/live", "/graphql", "/graphql/session", "/audit/export", "/schemas/pipeline.json")
    chosen = chance.choice(known)
    odds = (
        "//",
        "/..",
        "/../..",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%00",
        "/\xe9",
        "/graphiql/../x",
        "*",
        "http://x/",
        "/a" * 500,
    )
    target = chosen if chance.random() < 0.6 else chosen + chance.choice(odds)
    method = chance.choice(("GET", "GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "POST"))
    allowed, is_good = credentials(chance, world)
    accept = ("Accept", chance.choice(("text/html", "*/*", "a/b;q=x", ",;=", "text/event-stream;q=2", JSON)))
    end = End.READ if method == "HEAD" or "\xe9" in target else End.ANSWERED
    return Attack("path", (Send(request(method, target, (accept, *allowed, *_extras(chance)))),), end, is_good)


def _valid(chance: Random, world: World) -> tuple[bytes, bool]:
    """A valid request that changes nothing."""
    asked = {"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": world.ids["environment"][0]}}
    allowed, is_good = credentials(chance, world)
    if chance.random() < 0.3:
        target = "/graphql?" + urlencode({"query": asked["query"], "variables": json.dumps(asked["variables"])})
        return request("GET", target, (("Accept", JSON), *allowed)), is_good
    return request("POST", "/graphql", (("Content-Type", JSON), ("Accept", JSON), *allowed), encoded(asked)), is_good


def damaged(chance: Random, world: World) -> Attack:
    """A valid request with bytes changed."""
    data, is_good = _valid(chance, world)
    if chance.random() < 0.7:  # in front of its body
        head, body = data.split(b"\r\n\r\n", 1)
        data = odd.damaged(chance, head) + b"\r\n\r\n" + body
    else:
        data = odd.damaged(chance, data)
    return Attack("damaged", (Send(data),), End.READ, is_good)


def head(chance: Random, world: World) -> Attack:
    """A request line or headers that are too long, too many, or contradict one another."""
    count = odd.size(chance)
    allowed, is_good = credentials(chance, world)
    lines: dict[str, Headers] = {
        "long": (("X-Long", "x" * count),),
        "name": (("x" * count, "y"),),
        "many": tuple((f"X-{number}", "y") for number in range(min(count, 50_000))),
        "same": (("Accept", "a/b"),) * min(count, 50_000),
        "accept": (("Accept", ",".join(["a/b;q=0.1"] * min(count, 50_000))),),
        "etags": (("If-None-Match", ",".join(['"x"'] * min(count, 50_000))),),
        "cookies": (("Cookie", "; ".join(f"a{number}=b" for number in range(min(count, 50_000)))),),
        "lengths": (("Content-Length", "5"), ("Content-Length", "6")),
        "length": (("Content-Length", chance.choice(("-1", "+5", "5, 5", "0x5", "9" * 30, "", " 5", "5 5", "1e3"))),),
        "smuggled": (("Content-Length", "5"), ("Transfer-Encoding", "chunked")),
        "encoding": (
            ("Transfer-Encoding", chance.choice(("gzip", "chunked, x", "x, chunked", "Chunked", "chunked\t", ""))),
        ),
        "folded": (("X-Folded", "a\r\n b"),),
        "host": (("Host", "other"), ("Host", "x" * min(count, 10_000))),
        "upgrade": (
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ),
    }
    which = chance.choice([*lines, "url", "query", "version", "method", "h2"])
    if which in lines:
        asked = encoded({"query": "{ cursor }"})
        headers = (("Content-Type", JSON), *allowed, *lines[which])
        data = request("POST", "/graphql", headers, asked, has_length="Content-Length" not in dict(lines[which]))
    elif which == "h2":
        data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + chance.randbytes(30)
    else:
        method = "X" * count if which == "method" else "GET"
        version = (
            chance.choice(("HTTP/0.9", "HTTP/9.9", "HTTP/1.1 x", "", "HTTP/1.0")) if which == "version" else "HTTP/1.1"
        )
        target = "/" + "x" * count if which == "url" else "/graphql?" + "a=b&" * (count if which == "query" else 1)
        data = f"{method} {target} {version}\r\nHost: x\r\n\r\n".encode()
    return Attack(f"head: {which}", (Send(data),), End.READ, is_good)


def chunked(chance: Random, world: World) -> Attack:
    allowed, is_good = credentials(chance, world)
    headers = (("Content-Type", JSON), *allowed, ("Transfer-Encoding", "chunked"))
    body = encoded(parameters(grammar.operation(chance, world, "query")))
    many = odd.size(chance, 10_000)
    size = max(1, len(body) // chance.choice((1, 3, 50, len(body))))
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    right = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    wrong = chance.choice(
        (
            right,
            odd.damaged(chance, right),
            b"ffffffffffffffff\r\n" + body,
            b"-1\r\n" + body,
            b"5;" + b"x=y;" * many + b"\r\n{    \r\n0\r\n\r\n",
            b"1\r\n \r\n" * many + right,
            right[:-2] + b"X-Trailer: y\r\n" * many + b"\r\n",
            b"0\r\n\r\n" + right,
            b"5\r\n{    \r\n0\n\n",
        )
    )
    data = request("POST", "/graphql", headers, wrong, has_length=False)
    return Attack("chunked", (Send(data),), End.ANSWERED if wrong is right else End.READ, is_good)


def pipelined(chance: Random, world: World) -> Attack:
    """Several requests at once, of which the last may be cut off."""
    data, is_good = _valid(chance, world)
    many = chance.choice((2, 5, 50, 300))
    return Attack("pipelined", (Send(data * many + data[: chance.randrange(len(data))]),), End.READ, is_good)


def slow(chance: Random, world: World) -> Attack:
    """A request that comes bit by bit, and may never be whole."""
    data, is_good = _valid(chance, world)
    cuts = sorted(chance.sample(range(1, len(data)), 4))
    parts = [data[at:to] for at, to in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    steps = [step for part in parts for step in (Send(part), Pause(chance.uniform(0, 0.3)))]
    keep = chance.choice((len(steps), chance.randrange(1, len(steps))))
    return Attack("slow", tuple(steps[:keep]), chance.choice((End.READ, End.HALF_CLOSED, End.ABORTED)), is_good)


def silent(chance: Random, world: World) -> Attack:
    """A connection on which little or nothing is said."""
    said = chance.choice(
        (
            b"",
            b"\r\n",
            b"G",
            b"GET / HTTP/1.1\r\n",
            b"POST /graphql HTTP/1.1\r\nContent-Length: 9\r\n\r\n",
            b"\x16\x03\x01",
        )
    )
    return Attack(
        "silent", (Send(said),), chance.choice((End.READ, End.HALF_CLOSED, End.DEAF)), is_good=False, seconds=2
    )


def hasty(chance: Random, world: World) -> Attack:
    """Leaves without waiting for the answer."""
    make = chance.choice((query, abuse, mutation, document))
    attack = make(chance, world)
    end = chance.choice((End.CLOSED, End.ABORTED, End.HALF_CLOSED, End.DEAF))
    return Attack(f"hasty: {attack.kind}", attack.steps, end, attack.is_good)


def large(chance: Random, world: World) -> Attack:
    """A body around the limit, sent or only promised."""
    count = chance.choice((1_000_000, 5 * 1024 * 1024, 5 * 1024 * 1024 + 1, 6_000_000))
    body = encoded({"query": "{ cursor }", "variables": {"x": "y" * (count - 48)}})
    allowed, is_good = credentials(chance, world)
    data = request("POST", "/graphql", (("Content-Type", JSON), *allowed), body)
    sent = chance.choice((data, data[: chance.randrange(len(data))]))
    return Attack("large", (Send(sent),), End.READ, is_good, seconds=1)
