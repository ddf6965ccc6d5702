// Compares two schemas with graphql-inspector: fails when the second breaks what clients of the first rely on, and
// names the changes that may surprise them. What is deprecated says until when it stays, for six months at least; after
// that day it may go.
//
//   node compare.mjs PUBLISHED PRESENT

import { readFileSync } from "node:fs";

import { CriticalityLevel, diff } from "@graphql-inspector/core";
import { buildSchema, isInputObjectType, isRequiredArgument, isRequiredInputField } from "graphql";

const [published, present] = process.argv.slice(2).map((path) => buildSchema(readFileSync(path, "utf8")));
const changes = await diff(published, present);

const NOTICE = 6;

const day = (months) => {
  const date = new Date();
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.toISOString().slice(0, 10);
};

/** The last day of everything that is deprecated, by its path; none if its reason doesn't say it. */
function untils(schema) {
  const found = new Map();
  const note = (path, { deprecationReason: reason }) =>
    reason && found.set(path, /^Use .+ until (\d{4}-\d\d-\d\d)/.exec(reason)?.[1]);
  for (const type of Object.values(schema.getTypeMap())) {
    for (const part of [...Object.values(type.getFields?.() ?? {}), ...(type.getValues?.() ?? [])]) {
      note(`${type.name}.${part.name}`, part);
      for (const argument of part.args ?? []) note(`${type.name}.${part.name}.${argument.name}`, argument);
    }
  }
  return found;
}

const promised = untils(published);
const isDue = ({ path }) => promised.get(path) < day(0);

/** What is deprecated too shortly before it goes: its clients were told of another day, or of none. */
function hasty() {
  const found = [...untils(present)].filter(([path, until]) => !(until >= (promised.get(path) ?? day(NOTICE))));
  for (const [path] of found)
    console.log(`breaking: '${path}' is deprecated without "Use … until YYYY-MM-DD", ${NOTICE} months ahead`);
  return found.length;
}

function told(level) {
  const found = changes.filter((change) => change.criticality.level === level && !isDue(change));
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
process.exitCode = told(CriticalityLevel.Breaking) + required() + hasty() > 0 ? 1 : 0;
