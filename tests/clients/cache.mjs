// Shows a board with a client of docs/frontend.md and its default cache, and prints each state as a line of JSON.
//
//   node cache.mjs MODULE URL TOKEN QUERY SUBSCRIPTION VARIABLES

import { pathToFileURL } from "node:url";

import WebSocket from "ws";

globalThis.WebSocket = WebSocket;

const [module, url, token, query, changes, variables] = process.argv.slice(2);
const { board } = await import(pathToFileURL(module));
board(url, token, [query, changes], JSON.parse(variables), (data) => console.log(JSON.stringify(data)));
