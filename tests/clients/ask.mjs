// Asks with a client of docs/frontend.md twice, each time a client anew, and prints what it sent and got.
//
//   node ask.mjs MODULE URL TOKEN DOCUMENT VARIABLES
//
// DOCUMENT is a text, or a module's path and the name of what it exports, with a # between. Each of the two lines of
// JSON has `data`, and of each request `method`, `status` and `isWhole`: whether the document's text was in it.

import { pathToFileURL } from "node:url";

import { parse } from "graphql";

const [module, url, token, asked, variables] = process.argv.slice(2);
const { connect } = await import(pathToFileURL(module));
const [path, name] = asked.split("#");
const isGenerated = path.endsWith(".js");
const document = isGenerated ? (await import(pathToFileURL(path)))[name] : parse(asked);
const hash = isGenerated ? (generated) => generated.__meta__.hash : undefined;
let requests;

const original = globalThis.fetch;
globalThis.fetch = async (address, options) => {
  const response = await original(address, options);
  const sent = options.body ?? decodeURIComponent(address);
  const { method = "GET" } = options;
  requests.push({ method, status: response.status, isWhole: sent.includes("pipeline(") });
  return response;
};

for (let time = 0; time < 2; time++) {
  requests = [];
  const data = await connect(url, token, hash)(document, JSON.parse(variables));
  console.log(JSON.stringify({ data, requests }));
}
