"""docs/pipeline.md shows a whole file: the server accepts it, and it says what the guide says of it."""

import re
from pathlib import Path

from domain.reference import references
from gql.document import format as formats
from gql.document import pipeline as documents
from tests.gql.environment import Environment
from tests.serving import ROOT

GUIDE = (ROOT / "docs" / "pipeline.md").read_text()
FILE, APPROVAL, WAIT, ENV = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
DIFF = """query ($environment: ID!, $document: String!) {
  documentDiff(environment: $environment, document: $document) { differences { __typename } }
}"""


def test_the_file_of_the_guide_is_applied_and_exported_as_it_stands(environment: Environment) -> None:
    environment.do("applyPipeline", document=FILE)
    exported = environment.stageline.query("exportPipeline", environment=environment.id)
    assert documents.read(exported) == documents.read(FILE)
    assert exported == formats.write(documents.read(FILE))
    specs = {each.name: each.spec for stage in documents.read(FILE).stages for each in stage.services}
    assert specs["DB"].env == {"VERSION": "1.10"}
    assert specs["API"].env == {"LOG_LEVEL": "info", "UMASK": "0027", "START": "07:30"}
    answer = environment.stageline.execute(DIFF, environment=environment.id, document=FILE)
    assert answer == {"documentDiff": {"differences": []}}


def test_the_stage_of_the_guide_waits_for_all_that_the_guide_says(environment: Environment) -> None:
    environment.do("applyPipeline", document=APPROVAL + WAIT)
    assert environment.stageline.query("exportPipeline", environment=environment.id) == formats.write(
        documents.read(APPROVAL + WAIT)
    )
    (stage,) = environment.pipeline["stages"]
    policy = stage["policy"]
    assert policy["approval"] == {
        "count": 2,
        "timeoutSeconds": 3600,
        "onTimeout": "REJECT",
        "selfApproval": False,
        "role": "EDITOR",
    }
    assert policy["waitSeconds"] == 300
    assert policy["check"] == {"url": "https://status.example.org/ready", "intervalSeconds": 10, "timeoutSeconds": 600}


def test_the_references_of_the_guide_are_taken(environment: Environment) -> None:
    environment.do("setEnvironmentVariables", variables=[{"name": "REGION", "value": "eu"}])
    indented = "".join(f"      {line}\n" for line in ENV.splitlines())
    environment.do("applyPipeline", document=re.sub(r"      env:\n        LOG_LEVEL: info\n", indented, FILE))
    for reference in re.findall(r"`((?:services|variables|environment|project|deployment)[^`]*)`", GUIDE):
        assert list(references(f"${{{{ {reference} }}}}")), reference


def test_the_folders_of_the_guides_file_are_those_that_it_names() -> None:
    assert re.findall(r"workingDirectory: \./(\w+)", GUIDE) == ["db", "migrations", "api", "web"]
    assert (Path(ROOT) / "docs" / "pipeline.schema.json").exists()
