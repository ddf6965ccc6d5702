// Runs a client of docs/frontend.md as a browser would, and prints each payload as a line of JSON.
//
//   node follow.mjs MODULE URL TOKEN DOCUMENT VARIABLES EVERY LAST
//
// The socket is torn after EVERY payloads, again and again. It ends with the event whose type is LAST.

import { pathToFileURL } from "node:url";

import WebSocket from "ws";

const [module, url, token, document, variables, every, last] = process.argv.slice(2);
let socket;
let came = 0;

globalThis.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    socket = this;
  }
};

const { follow } = await import(pathToFileURL(module));
const client = follow(url.replace(/^http/, "ws"), token, document, JSON.parse(variables), {
  next(payload) {
    console.log(JSON.stringify(payload.data));
    if (Object.values(payload.data)[0].type === last) client.dispose();
    else if (++came % Number(every) === 0) socket.terminate();
  },
});
