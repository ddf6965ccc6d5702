// Runs a client of docs/frontend.md as a browser would, and prints each payload as a line of JSON.
//
//   node follow.mjs MODULE URL TOKEN DOCUMENT VARIABLES EVERY LAST
//
// The socket, or the stream of an answer, is torn after EVERY payloads, again and again. It ends with the event whose type is LAST.

import { pathToFileURL } from "node:url";

import WebSocket from "ws";

const [module, url, token, document, variables, every, last] = process.argv.slice(2);
let tear;
let came = 0;

globalThis.WebSocket = class extends WebSocket {
  constructor(...options) {
    super(...options);
    tear = () => this.terminate();
  }
};

const { fetch } = globalThis;
globalThis.fetch = async (...request) => {
  const answer = await fetch(...request);
  const through = new TransformStream({ start: (controller) => (tear = () => controller.error(new TypeError("torn"))) });
  return new Response(answer.body.pipeThrough(through), answer);
};

const { follow } = await import(pathToFileURL(module));
const address = /(sse|http)\.js$/.test(module) ? url : url.replace(/^http/, "ws");
const client = follow(address, token, document, JSON.parse(variables), {
  next(payload) {
    console.log(JSON.stringify(payload.data));
    if (Object.values(payload.data)[0].type === last) client.dispose?.();
    else if (++came % Number(every) === 0) tear();
  },
});
