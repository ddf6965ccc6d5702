// Writes the types that gql.tada reads, of the schema in a file.
//
//   node tada.mjs SCHEMA OUTPUT
//
// gql.tada's own command does the same, but needs the JavaScript API that TypeScript 7 does not have.

import { readFileSync, writeFileSync } from "node:fs";

import { minifyIntrospection, outputIntrospectionFile } from "@gql.tada/internal";
import { buildSchema, introspectionFromSchema } from "graphql";

const [schema, output] = process.argv.slice(2);
const introspection = introspectionFromSchema(buildSchema(readFileSync(schema, "utf8")), { descriptions: false });
const options = { fileType: ".d.ts", shouldPreprocess: true };
writeFileSync(output, outputIntrospectionFile(minifyIntrospection(introspection), options));
