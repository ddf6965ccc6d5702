// Follows a subscription with graphql-ws, as a frontend does, and prints each payload as a line of JSON.
//
//   node watch.mjs URL TOKEN QUERY [--variables JSON] [--count N] [--cut K,K,...]
//
// It ends with the subscription, or after N payloads. --cut tears the socket after K payloads, then after as many more
// as the next K says, and so on. graphql-ws connects again by itself, but subscribes with the variables that it was
// given: so after each payload its cursor is put into them, as $after.
//
// Exit codes: 0 ended well, 1 the server answered with errors, 2 there is no connection, or the server closed it; why
// is on stderr.

import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";

import { createClient } from "graphql-ws";
import WebSocket from "ws";

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    variables: { type: "string", default: "{}" },
    count: { type: "string", default: "Infinity" },
    cut: { type: "string", default: "" },
  },
});
const [url, token, query] = positionals;
const variables = JSON.parse(values.variables);
const cuts = values.cut.split(",").filter(Boolean).map(Number);
let left = Number(values.count);
let socket;

const client = createClient({
  url: url.replace(/^http/, "ws"),
  webSocketImpl: WebSocket,
  connectionParams: { authorization: `Bearer ${token}` },
  retryAttempts: 200, // in a row; a server that is being restarted has 20 seconds for it
  retryWait: (retries) => setTimeout(retries > 0 ? 100 : 0),
  shouldRetry: ({ code, error }) => code === 1006 || ["ECONNREFUSED", "ECONNRESET"].includes(error?.code), // not closed by the server
  on: {
    opened(opened) {
      socket = opened;
    },
  },
});

function end(code, message) {
  if (message) console.error(message);
  process.exitCode = code;
  client.dispose();
}

const stop = client.subscribe(
  { query, variables },
  {
    next(payload) {
      if (left === 0) return;
      console.log(JSON.stringify(payload));
      if (payload.errors) return end(1);
      variables.after = Object.values(payload.data)[0].cursor;
      left -= 1;
      if (left === 0) return stop();
      if (cuts.length > 0 && --cuts[0] === 0) {
        cuts.shift();
        socket.terminate();
      }
    },
    error(reason) {
      if (Array.isArray(reason)) end(1, JSON.stringify(reason));
      else end(2, reason.code ?? reason.message);
    },
    complete() {
      client.dispose();
    },
  },
);
