// The rules that a schema obeys: those of graphql-eslint for schemas and for Relay, with the exceptions below.
//
//   eslint --config eslint.config.js schema.graphql

import graphql from "@graphql-eslint/eslint-plugin";

const exceptions = {
  // Only live objects have an id: snapshots, references and values are embedded in them (docs/decisions/0036-identity.md).
  // tests/gql/test_node.py checks that every type with an id is a Node, and every Node is found by its id.
  "@graphql-eslint/strict-id-in-types": "off",

  // A list that is bounded and always wanted whole has no pages: stages, services, differences, ports. A log line is no
  // Node: it is read only in its place in the log.
  "@graphql-eslint/relay-edge-types": [
    "error",
    { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
  ],

  // A subscription of a list sends its first page again and again, so it takes no cursor. tests/gql/test_schema.py
  // checks the arguments of all other connections.
  "@graphql-eslint/relay-arguments": "off",

  // Each kind of event has an enum of its own for its type, so each needs a field of its own, named as the enum:
  // pipelineEventType. tests/gql/test_schema.py checks that no other field begins with the name of its type.
  "@graphql-eslint/no-typename-prefix": "off",

  // The directive @oneOf belongs to GraphQL itself; graphql-core prints it without its description.
  "@graphql-eslint/require-description": ["error", { types: true, DirectiveDefinition: false, rootField: true }],
};

export default [
  {
    files: ["**/*.graphql"],
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: "schema.graphql" } } },
    plugins: { "@graphql-eslint": graphql },
    rules: {
      ...graphql.configs["flat/schema-recommended"].rules,
      ...graphql.configs["flat/schema-relay"].rules,
      ...exceptions,
    },
  },
];
