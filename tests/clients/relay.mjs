// Shows a board with the Relay environment of docs/frontend.md, and prints each state as a line of JSON.
//
//   node relay.mjs MODULE GENERATED URL TOKEN VARIABLES
//
// GENERATED is the folder with what relay-compiler made of BoardQuery and BoardSubscription.

import { pathToFileURL } from "node:url";

import relay from "relay-runtime";
import WebSocket from "ws";

globalThis.WebSocket = WebSocket;

const [module, generated, url, token, given] = process.argv.slice(2);
const { connect } = await import(pathToFileURL(module));
const compiled = async (name) => (await import(pathToFileURL(`${generated}/${name}.graphql.js`))).default;
const query = await compiled("BoardQuery");
const subscription = await compiled("BoardSubscription");
const variables = JSON.parse(given);
const environment = connect(url, token);
const operation = relay.createOperationDescriptor(relay.getRequest(query), variables);
const show = ({ data }) => console.log(JSON.stringify(data));

environment.retain(operation);
await relay.fetchQuery(environment, query, variables).toPromise();
const snapshot = environment.lookup(operation.fragment);
show(snapshot);
environment.subscribe(snapshot, show);
relay.requestSubscription(environment, { subscription, variables });
