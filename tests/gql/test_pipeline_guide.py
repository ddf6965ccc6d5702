"""docs/pipeline.md shows a whole file: the server accepts it, and it says what the guide says of it."""

import re
from pathlib import Path

from domain.reference import references
from gql.document import format as formats
from gql.document import pipeline as documents
from tests.gql.environment import Environment
from tests.serving import ROOT

GUIDE = (ROOT / "docs" / "pipeline.md").read_text()


def test_the_file_of_the_guide_is_applied_and_exported_as_it_stands(environment: Environment) -> None:
    text, _ = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    environment.do("applyPipeline", document=text)
    exported = environment.stageline.query("exportPipeline", environment=environment.id)
    assert documents.read(exported) == documents.read(text)
    assert exported == formats.write(documents.read(text))
    specs = {each.name: each.spec for stage in documents.read(text).stages for each in stage.services}
    assert specs["DB"].env == {"VERSION": "1.10"}
    assert specs["API"].env == {"LOG_LEVEL": "info", "UMASK": "0027", "START": "07:30"}
    assert environment.stageline.query("documentDiff", environment=environment.id, document=text)["differences"] == []


def test_the_references_of_the_guide_are_taken(environment: Environment) -> None:
    text, env = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    environment.do("setEnvironmentVariables", variables=[{"name": "REGION", "value": "eu"}])
    indented = "".join(f"      {line}\n" for line in env.splitlines())
    environment.do("applyPipeline", document=re.sub(r"      env:\n        LOG_LEVEL: info\n", indented, text))
    for reference in re.findall(r"`((?:services|variables|environment|project|deployment)[^`]*)`", GUIDE):
        assert list(references(f"${{{{ {reference} }}}}")), reference


def test_the_folders_of_the_guides_file_are_those_that_it_names() -> None:
    assert re.findall(r"workingDirectory: \./(\w+)", GUIDE) == ["db", "migrations", "api", "web"]
    assert (Path(ROOT) / "docs" / "pipeline.schema.json").exists()
