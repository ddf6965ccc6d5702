"""Relay's compiler takes the schema: fragments that are refetched, paged, and named."""

import json
from pathlib import Path

import pytest

from tests.gql import test_clients
from tests.gql.relay import compile_documents

packages = test_clients.packages

FRAGMENTS = {
    "Board": """
query BoardQuery($environment: ID!) {
  pipeline(environment: $environment) { id ...Board_pipeline @alias(as: "board") }
  ...Runs_query @arguments(environment: $environment)
  ...Changes_query @arguments(environment: $environment)
}
""",
    "BoardFragment": """
fragment Board_pipeline on Pipeline @refetchable(queryName: "BoardRefetchQuery") {
  version
  environment { ...Header_environment @alias }
  stages { id ...Column_stage @alias(as: "column") }
}
""",
    "Header": """
fragment Header_environment on Environment @refetchable(queryName: "HeaderRefetchQuery") {
  name isDeleted project { ...Name_project }
}
""",
    "Name": """
fragment Name_project on Project @refetchable(queryName: "NameRefetchQuery") { name }
""",
    "Column": """
fragment Column_stage on Stage @refetchable(queryName: "ColumnRefetchQuery") {
  name services { ...Card_service }
}
""",
    "Card": """
fragment Card_service on Service @refetchable(queryName: "CardRefetchQuery") {
  name isSkipped stage { id name }
}
""",
    "Runs": """
fragment Runs_query on Query
@refetchable(queryName: "RunsPageQuery")
@argumentDefinitions(environment: { type: "ID!" }, count: { type: "Int", defaultValue: 20 }, cursor: { type: "String" })
{
  deployments(environment: $environment, first: $count, after: $cursor) @connection(key: "Runs_deployments") {
    edges { node { ...Run_deployment @alias(as: "run") } }
  }
}
""",
    "Run": """
fragment Run_deployment on Deployment @refetchable(queryName: "RunRefetchQuery") {
  number status stages { id name status ...RunStage_stage services { ...RunService_service } }
}
""",
    "RunStage": """
fragment RunStage_stage on DeploymentStage @refetchable(queryName: "RunStageRefetchQuery") {
  status stage { ...Column_stage }
}
""",
    "RunService": """
fragment RunService_service on DeploymentService @refetchable(queryName: "RunServiceRefetchQuery") {
  status service { ...Card_service }
}
""",
    "Changes": """
fragment Changes_query on Query
@refetchable(queryName: "ChangesPageQuery")
@argumentDefinitions(environment: { type: "ID!" }, count: { type: "Int", defaultValue: 20 }, cursor: { type: "String" })
{
  pipelineHistory(environment: $environment, first: $count, after: $cursor)
  @connection(key: "Changes_pipelineHistory") {
    edges { node { ...Change_event } }
  }
}
""",
    "Change": """
fragment Change_event on PipelineEvent @refetchable(queryName: "ChangeRefetchQuery") {
  message stage { stageId name } change { __typename ... on ServiceMoved { toStage { stageId name } } }
}
""",
}


def test_relays_compiler_makes_a_query_for_each_refetchable_fragment(tmp_path: Path) -> None:
    compile_documents(tmp_path, FRAGMENTS)
    for name, text in FRAGMENTS.items():
        if "@refetchable" in text and "on Query" not in text:
            query = text.partition('queryName: "')[2].partition('"')[0]
            made = (tmp_path / f"__generated__/{query}.graphql.js").read_text()
            assert "node(" in made, name
            assert "id: $id" in made, name


@pytest.mark.parametrize("fragment", ["Runs", "Changes"])
def test_relays_compiler_knows_the_pages_of_a_list(tmp_path: Path, fragment: str) -> None:
    compile_documents(tmp_path, FRAGMENTS)
    query = "RunsPageQuery" if fragment == "Runs" else "ChangesPageQuery"
    made = (tmp_path / f"__generated__/{query}.graphql.js").read_text()
    assert "LinkedHandle" in made
    assert json.dumps("connection") in made
    assert "hasNextPage" in made
