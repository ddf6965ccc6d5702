"""The configuration file of servers and workers: precedence, refusals, and `stageline config check`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import main
from tests.identity.provider import IdentityProvider, identity_provider

DATABASE = "postgresql://stageline:hidden@db/stageline"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "STAGELINE_DATABASE", "DOCKER_HOST", "STAGELINE_PORT", "STAGELINE_DEBUG"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "stageline.toml"
    path.touch(0o600)
    return path


def check(file: Path, capfd: pytest.CaptureFixture[str], text: str) -> tuple[int, dict[str, tuple[Any, str]], str]:
    """Return the exit code, the value and the source of each key, and the errors."""
    file.write_text(text)
    code = main.run(["config", "check", str(file), "--json"])
    out, errors = capfd.readouterr()
    found = json.loads(out)["settings"] if out else []
    return code, {each["key"]: (each["value"], each["source"]) for each in found}, errors


def started(*arguments: str) -> dict[str, Any]:
    """Return the options with which `stageline serve` would start."""
    root = main.commands()
    with root.make_context("stageline", ["serve", *arguments]) as context:
        serve: Any = root.commands["serve"]
        with serve.make_context("serve", list(arguments), parent=context) as own:
            found: dict[str, Any] = own.params
            return found


def test_an_option_overrides_a_variable_and_a_variable_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('port = 1\nhost = "::1"\nanswers = 3\nworker = false\n')
    monkeypatch.setenv("STAGELINE_PORT", "2")
    monkeypatch.setenv("STAGELINE_ANSWERS", "4")
    found = started("--config", str(file), "--answers", "5")
    assert (found["host"], found["port"], found["answers"], found["worker"]) == ("::1", 2, 5, False)
    assert found["log_level"] == "info"


def test_a_variable_may_name_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("port = 1\n")
    monkeypatch.setenv("STAGELINE_CONFIG", str(file))
    assert started()["port"] == 1


def test_a_check_shows_each_value_and_its_source(
    file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAGELINE_PORT", "9001")
    code, found, errors = check(
        file, capfd, 'gone-after = 400\nallow-origin = ["https://App.example"]\nallow-webhook = ["10.0.0.0/8"]\n'
    )
    assert (code, errors) == (0, "")
    assert found["port"] == (9001, "variable STAGELINE_PORT")
    assert found["gone-after"] == (400, "file")
    assert found["allow-origin"] == (["https://app.example"], "file")
    assert found["allow-webhook"] == (["10.0.0.0/8"], "file")
    assert found["host"] == ("127.0.0.1", "default")


PROVIDER = """
[[oidc]]
issuer = "https://sso.example"
audience = "stageline"
[[oidc.rules]]
claim = "groups"
value = "sre"
role = "admin"
"""


def test_an_identity_provider_is_a_table(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, found, errors = check(file, capfd, PROVIDER)
    assert (code, errors) == (0, "")
    (provider,), source = found["oidc"]
    assert source == "file"
    assert json.loads(provider)["rules"] == [{"claim": "groups", "value": "sre", "role": "admin"}]
    assert main.run(["config", "check", str(file), "--json"]) == 0


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[IdentityProvider]:
    with identity_provider(tmp_path) as made:
        yield made


def inspected(file: Path, capfd: pytest.CaptureFixture[str], text: str) -> tuple[int, list[dict[str, Any]]]:
    file.write_text(text)
    code = main.run(["config", "check", str(file), "--online", "--json"])
    return code, json.loads(capfd.readouterr().out)["providers"]


def test_a_check_asks_the_providers_only_if_it_is_told_to(
    file: Path, capfd: pytest.CaptureFixture[str], provider: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    console = f'''
        public-url = "https://stageline.example"
        [[oidc]]
        issuer = "{provider.issuer}"
        client-id = "console"
        client-secret-file = "{file.parent}/none"
    '''
    program = f'[[oidc]]\nissuer = "{provider.issuer}"\naudience = "x"\nname = "Acme"'
    assert check(file, capfd, console)[0] == 0  # nobody is asked
    code, (found,) = inspected(file, capfd, console)
    assert (code, found["keys"]) == (1, 0)
    assert "can't be reached" in found["fault"]
    provider.start()
    code, (found,) = inspected(file, capfd, console)
    assert (code, found["keys"]) == (1, 1)
    assert "none, can't be read: No such file or directory" in found["fault"]
    code, (found,) = inspected(file, capfd, program)
    assert (code, found) == (0, {"issuer": provider.issuer, "name": "Acme", "keys": 1, "fault": None})
    code, (found,) = inspected(file, capfd, program.replace("127.0.0.1", "localhost"))
    assert code == 1
    assert f"of the issuer '{provider.issuer}'; use that as issuer" in found["fault"]
    assert main.run(["config", "check", str(file), "--online"]) == 1
    out, errors = capfd.readouterr()
    assert "use that as issuer" in out
    assert "1 of 1 identity providers can't be used." in errors
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    assert main.run(["config", "check", str(file), "--online"]) == 1
    assert "Invalid SSL_CERT_FILE" in capfd.readouterr().err


@pytest.mark.parametrize("address", [DATABASE, "postgresql://stageline@db/stageline?password=hidden&sslmode=require"])
def test_a_check_shows_no_password(file: Path, capfd: pytest.CaptureFixture[str], address: str) -> None:
    code, found, _ = check(file, capfd, f'database = "{address}"\n')
    assert code == 0
    assert found["database"] == (address.replace("hidden", "********"), "file")


def test_a_file_with_a_password_that_others_can_read_is_named(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file.chmod(0o644)
    _, _, errors = check(file, capfd, f'database = "{DATABASE}"\n')
    assert f"Other users of this machine can read the password in {file}" in errors


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("prot = 1", "Unknown key in {file}: prot. Did you mean port?"),
        ("keep_documents = false", "Unknown key in {file}: keep_documents. Did you mean keep-documents?"),
        ("zzz = 1", "Unknown key in {file}: zzz. Known keys: admin-token, allow-origin, "),
        ("issue-token = true", "Invalid key in {file}: issue-token is for one start; give --issue-token"),
        ('port = "8000"', "Invalid value in {file}: port must be an integer, and is '8000'."),
        ('allow-origin = "https://a.example"', "allow-origin must be a list of strings, and is 'https://a.example'."),
        ("worker = 0", "Invalid value in {file}: worker must be true or false, and is 0."),
        ("port = 99999", "Invalid value for '--port'"),
        ('metrics = "9464"', "Invalid address for metrics: '9464'; give HOST:PORT"),
        ('root-path = "no slash"', "root path"),
        ('oidc = "https://sso.example"', "Invalid value in {file}: oidc must be tables, [[oidc]], and is"),
        ("oidc = [1]", "Invalid value in {file}: oidc must be tables, [[oidc]], and is [1]"),
        (PROVIDER.replace("https", "http"), "issuer is 'http://sso.example'; it must be an https:// address"),
        (PROVIDER.replace("audience =", "audiance ="), "unknown field `audiance`"),
        (PROVIDER.replace('audience = "stageline"', ""), "it needs an audience, for programs, or a client-id"),
        (PROVIDER.replace("audience", "client-id"), "sso.example has a client-id, but the server has no --public-url"),
        (PROVIDER.replace("[[oidc.r", 'client-secret-file = "x"\n[[oidc.r'), "client-secret-file needs a client-id"),
        (PROVIDER.replace("[[oidc.r", 'scope = "profile"\n[[oidc.r'), "it must be ASCII with the scope openid"),
        (PROVIDER.replace("[[oidc.r", "session-minutes = 721\n[[oidc.r"), "it must be between 1 and 720"),
        ('public-url = "http://example.com"', "Invalid public URL 'http://example.com': give an https:// address"),
        ('public-url = "https://u@example.com"', "Invalid public URL"),
        ('public-url = "https://example.com/?next=x"', "Invalid public URL"),
        ('public-url = "https://example.com/graphql/x"', "the application has that path itself"),
        ('public-url = "https://example.com/a"\nroot-path = "/b"', "has another path than --root-path /b"),
        (PROVIDER.replace('"stageline"', '"two words"'), "audience is 'two words'; it must be ASCII"),
        (PROVIDER.replace("admin", "owner"), "Invalid enum value 'owner' - at `$.rules[0].role`"),
        (PROVIDER + PROVIDER, "Two identity providers have the issuer https://sso.example"),
        ("port =", "The configuration file {file} is not TOML: "),
    ],
)
def test_an_invalid_file_is_refused_with_what_to_do(
    file: Path, capfd: pytest.CaptureFixture[str], line: str, why: str
) -> None:
    code, found, errors = check(file, capfd, f"{line}\n")
    assert (code, found) == (2, {})
    assert why.format(file=file) in json.loads(errors)["error"]["message"]


def test_a_missing_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run(["serve", "--config", str(tmp_path / "none.toml")]) == 2
    assert "Can't read the configuration file" in capfd.readouterr().err


def test_a_worker_shares_the_file_of_a_server(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    serve, worker = (
        {each.opts[0] for each in main.commands().commands[name].params if each.name != "help"}
        for name in ("serve", "worker")
    )
    assert worker < serve
    file.write_text("port = 1\n")
    assert main.run(["worker", "--config", str(file)]) == 2
    assert "No database is given" in capfd.readouterr().err
