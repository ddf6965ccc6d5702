// Compares two schemas with graphql-inspector: fails when the second breaks what clients of the first rely on, and
// names the changes that may surprise them.
//
//   node compare.mjs PUBLISHED PRESENT

import { readFileSync } from "node:fs";

import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema, isInputObjectType, isRequiredArgument, isRequiredInputField } from "graphql";

const [published, present] = process.argv.slice(2).map((path) => buildSchema(readFileSync(path, "utf8")));
const changes = await diff(published, present);

function told(level) {
  const found = changes.filter(({ criticality }) => criticality.level === level);
  for (const { message, path } of found) console.log(`${level.toLowerCase()}: ${message}${path ? ` (${path})` : ""}`);
  return found.length;
}

/** Every argument and input field by its coordinate, and whether it has to be given. */
function inputs(schema) {
  const found = new Map();
  for (const type of Object.values(schema.getTypeMap())) {
    for (const field of Object.values(type.getFields?.() ?? {})) {
      if (isInputObjectType(type)) found.set(`${type.name}.${field.name}`, isRequiredInputField(field));
      else for (const each of field.args) found.set(`${type.name}.${field.name}(${each.name})`, isRequiredArgument(each));
    }
  }
  return found;
}

/** What graphql-inspector doesn't see: a non-null input that loses its default has to be given from then on. */
function required() {
  const before = inputs(published);
  const found = [...inputs(present)].filter(([name, isRequired]) => isRequired && before.get(name) === false);
  for (const [name] of found) console.log(`breaking: '${name}' has to be given`);
  return found.length;
}

told(CriticalityLevel.Dangerous);
process.exitCode = told(CriticalityLevel.Breaking) + required() > 0 ? 1 : 0;
