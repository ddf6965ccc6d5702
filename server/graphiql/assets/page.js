// GraphiQL on Stageline's API: asks for the access token, keeps it in this tab, and runs operations with it.
// React, ReactDOM, GraphiQL and graphqlWs are the vendored scripts' globals.

import { examples } from "./examples.js";

const TOKEN = "stageline-token"; // in sessionStorage
const SHOWN = 100; // payloads of a subscription; GraphiQL slows down with many more
const PAUSE = 50; // milliseconds between two drawings of a subscription

/** The server doesn't take the token. */
class Unauthorized extends Error {}

// Requests

async function post(token, operation) {
  const response = await fetch(location.pathname, {
    method: "POST",
    headers: {
      accept: "application/graphql-response+json, application/json",
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(operation),
    cache: "no-store",
    credentials: "omit",
  });
  if (response.status === 401) throw new Unauthorized();
  try {
    return await response.json();
  } catch {
    throw new Error(`The server answered ${response.status} ${response.statusText}`.trim() + ", without a result.");
  }
}

function socket(token) {
  const url = new URL(location.pathname, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  return graphqlWs.createClient({
    url: url.href,
    connectionParams: { authorization: `Bearer ${token}` },
    retryAttempts: 0, // to subscribe again would show everything again: whoever reads decides
    on: {
      closed: ({ code }) => {
        if (code === 4401 || code === 4403) leave(REFUSED);
      },
    },
  });
}

/** What a subscription has sent so far, as GraphiQL shows it: the newest first. */
function watch(client, operation) {
  return {
    subscribe(observer) {
      const payloads = [];
      let received = 0;
      let drawing;
      let stopped = false;
      const draw = (state) => {
        clearTimeout(drawing);
        drawing = undefined;
        const count = `${received} ${received === 1 ? "payload" : "payloads"}`;
        const rest = received > SHOWN ? `, of which these are the last ${SHOWN}` : "";
        observer.next({ subscription: `${state}, ${count}${rest}`, payloads });
      };
      const unsubscribe = client.subscribe(operation, {
        next(payload) {
          received += 1;
          payloads.unshift(payload);
          payloads.length = Math.min(payloads.length, SHOWN);
          drawing ??= setTimeout(() => draw("live"), PAUSE);
        },
        error(reason) {
          clearTimeout(drawing);
          observer.error(problem(reason));
        },
        complete() {
          if (stopped) return; // what GraphiQL shows by now may be another tab's
          draw("complete");
          observer.complete();
        },
      });
      return {
        unsubscribe() {
          stopped = true;
          draw("stopped");
          unsubscribe();
        },
      };
    },
  };
}

function problem(reason) {
  if (reason instanceof Error) return reason;
  if (Array.isArray(reason)) return { errors: reason };
  const why = [reason?.code, reason?.reason].filter(Boolean).join(": ");
  return new Error(`The connection to the server was lost${why && ` (${why})`}.`);
}

/** The operation as it is to be sent, and its kind; after a change of tabs GraphiQL may still name the old tab's. */
function read({ query, variables, operationName }) {
  let operations = [];
  try {
    operations = GraphiQL.GraphQL.parse(query).definitions.filter(({ kind }) => kind === "OperationDefinition");
  } catch {
    // What is wrong with it is the server's to say.
  }
  const named = operations.find(({ name }) => name !== undefined && name.value === operationName);
  const kind = (named ?? operations[0])?.operation;
  return { kind, operation: { query, variables, operationName: named && operationName } };
}

function fetcher(token) {
  const client = socket(token);
  return async (asked) => {
    const { kind, operation } = read(asked);
    if (kind === "subscription") return watch(client, operation);
    try {
      return await post(token, operation);
    } catch (error) {
      if (error instanceof Unauthorized) leave(REFUSED);
      throw error;
    }
  };
}

// The page

const REFUSED = "The server doesn’t accept this token.";
const NOTICE = "stageline-notice"; // in sessionStorage: what to say after the reload

const entry = document.querySelector("#entry");
const field = document.querySelector("#token");
const message = document.querySelector("#message");

/** Forgets the token and starts anew, which also closes the socket and empties the editors' answers. */
function leave(notice) {
  sessionStorage.removeItem(TOKEN);
  if (notice) sessionStorage.setItem(NOTICE, notice);
  location.reload();
}

function ask(notice = "") {
  message.textContent = notice;
  field.toggleAttribute("aria-invalid", Boolean(notice));
  entry.hidden = false;
  field.focus();
  field.select();
}

async function enter(token) {
  let tabs;
  try {
    tabs = await examples((query, variables) => post(token, { query, variables }));
  } catch (error) {
    if (!(error instanceof Unauthorized)) return ask(`The server can’t be reached. ${error.message}`);
    sessionStorage.removeItem(TOKEN);
    return ask(REFUSED);
  }
  sessionStorage.setItem(TOKEN, token);
  entry.hidden = true;
  open(token, tabs);
}

/** Tells the tokens of this browser apart (FNV-1a), so that each has its own tabs and history, and none is kept. */
function mark(token) {
  let hash = 0x811c9dc5;
  for (const character of token) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return (hash >>> 0).toString(16);
}

function open(token, tabs) {
  const element = React.createElement;
  const forget = { type: "button", className: "forget", onClick: () => leave() };
  const place = document.querySelector("#graphiql");
  place.hidden = false;
  ReactDOM.createRoot(place).render(
    element(
      GraphiQL,
      {
        fetcher: fetcher(token),
        defaultTabs: tabs,
        defaultEditorToolsVisibility: "variables",
        inputValueDeprecation: true,
        isHeadersEditorEnabled: false, // the only header that matters is the token's
        showPersistHeadersSettings: false,
        storage: GraphiQL.createLocalStorage({ namespace: `stageline-${mark(token)}` }),
      },
      element(
        GraphiQL.Logo,
        null,
        element("img", { src: "graphiql/assets/stageline.svg", alt: "", width: 20, height: 20 }),
        element("span", { className: "name" }, "Stageline"),
        element("button", forget, "Forget token"),
      ),
    ),
  );
}

document.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  message.textContent = "";
  try {
    await enter(field.value.trim());
  } finally {
    button.disabled = false;
  }
});

const kept = sessionStorage.getItem(TOKEN);
const notice = sessionStorage.getItem(NOTICE);
sessionStorage.removeItem(NOTICE);
if (kept) enter(kept);
else ask(notice ?? "");
