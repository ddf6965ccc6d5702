// Stitches the server's schema with another one, which adds a field to Environment, and prints the answer to a query.
//
//   node stitch.mjs URL TOKEN ENVIRONMENT

import { buildHTTPExecutor } from "@graphql-tools/executor-http";
import { stitchSchemas } from "@graphql-tools/stitch";
import { schemaFromExecutor } from "@graphql-tools/wrap";
import { buildSchema, graphql } from "graphql";

const [endpoint, token, environment] = process.argv.slice(2);
const executor = buildHTTPExecutor({ endpoint, headers: { authorization: `Bearer ${token}` } });

const owners = buildSchema(`
  type Query { owned(id: ID!): Environment }
  type Environment { id: ID! owner: String! }
`);
owners.getQueryType().getFields().owned.resolve = (_, { id }) => ({ id, owner: "team" });

const schema = stitchSchemas({
  subschemas: [
    {
      schema: await schemaFromExecutor(executor),
      executor,
      merge: { Environment: { selectionSet: "{ id }", fieldName: "environment", args: ({ id }) => ({ id }) } },
    },
    {
      schema: owners,
      merge: { Environment: { selectionSet: "{ id }", fieldName: "owned", args: ({ id }) => ({ id }) } },
    },
  ],
});

const source = `
  query ($id: ID!) { environment(id: $id) { name owner } owned(id: $id) { owner name } pipeline(environment: $id) { version } }
`;
console.log(JSON.stringify(await graphql({ schema, source, variableValues: { id: environment } })));
