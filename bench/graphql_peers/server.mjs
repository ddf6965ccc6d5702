// GraphQL servers of Node as their documentation has them: node server.mjs apollo|mercurius PORT SCHEMA FOLDER
//
// They serve our schema; a pipeline is what FOLDER/<environment>.json has as its data, held in memory.

import { readdirSync, readFileSync } from "node:fs";
import { join, parse } from "node:path";

const [name, port, schema, folder] = process.argv.slice(2);
const listen = { host: "127.0.0.1", port: Number(port) };
const typeDefs = readFileSync(schema, "utf8");
const pipelines = new Map();
for (const file of readdirSync(folder)) {
  pipelines.set(parse(file).name, JSON.parse(readFileSync(join(folder, file))).data.pipeline);
}
const resolvers = { Query: { pipeline: (_, { environment }) => pipelines.get(environment) } };

if (name === "apollo") {
  const { ApolloServer } = await import("@apollo/server");
  const { startStandaloneServer } = await import("@apollo/server/standalone");
  await startStandaloneServer(new ApolloServer({ typeDefs, resolvers }), { listen });
} else {
  const { default: fastify } = await import("fastify");
  const { default: mercurius } = await import("mercurius");
  const app = fastify();
  app.register(mercurius, { schema: typeDefs, resolvers, jit: 1 });
  await app.listen(listen);
}
