// Asks documents with a client and its default cache, then reads all of them back from that cache.
//
//   node caches.mjs CLIENT URL TOKEN
//
// CLIENT is apollo, graphcache or relay. The documents come on stdin as JSON: [{ name, text, variables }]; of Relay the
// folder relay has what relay-compiler made of each. On stdout is { answers, kept, complaints }: the client's answer to
// each document, the answer that the cache has after all of them (null for a mutation), and what was logged.

import { text } from "node:stream/consumers";

const [client, url, token, folder] = process.argv.slice(2);
const documents = JSON.parse(await text(process.stdin));
const headers = { authorization: `Bearer ${token}` };
const complaints = [];
for (const level of ["warn", "error", "info"]) {
  console[level] = (...words) => complaints.push(words.join(" "));
}

const isMutation = (document) => document.text.trimStart().startsWith("mutation");

// What asks, and what reads from the cache: each takes a document and returns its data.
const clients = {
  async apollo() {
    const { ApolloClient, HttpLink, InMemoryCache, gql } = await import("@apollo/client");
    const made = new ApolloClient({ cache: new InMemoryCache(), link: new HttpLink({ uri: url, headers }) });
    return {
      async ask(document) {
        const { variables } = document;
        const { data } = isMutation(document)
          ? await made.mutate({ mutation: gql(document.text), variables })
          : await made.query({ query: gql(document.text), variables });
        return data;
      },
      async read({ text, variables }) {
        return (await made.query({ query: gql(text), variables, fetchPolicy: "cache-only" })).data;
      },
    };
  },

  async graphcache() {
    const { Client, fetchExchange } = await import("@urql/core");
    const { cacheExchange } = await import("@urql/exchange-graphcache");
    const exchanges = [cacheExchange({}), fetchExchange];
    const made = new Client({ url, exchanges, fetchOptions: { headers }, preferGetMethod: false });
    const data = async (result) => {
      const { data, error } = await result.toPromise();
      if (error) throw error;
      return data;
    };
    return {
      ask: (document) =>
        data(made[isMutation(document) ? "mutation" : "query"](document.text, document.variables)),
      read: ({ text, variables }) => data(made.query(text, variables, { requestPolicy: "cache-only" })),
    };
  },

  async relay() {
    const runtime = await import("relay-runtime");
    const { Environment, Network, RecordSource, Store, commitMutation, createOperationDescriptor, fetchQuery } =
      runtime.default;
    async function send({ text: query }, variables) {
      const body = JSON.stringify({ query, variables });
      const answer = await fetch(url, {
        method: "POST",
        body,
        headers: { ...headers, "content-type": "application/json" },
      });
      return answer.json();
    }
    const environment = new Environment({ network: Network.create(send), store: new Store(new RecordSource()) });
    const requests = new Map();
    for (const { name } of documents) {
      requests.set(name, (await import(`${folder}/__generated__/${name}.graphql.js`)).default);
    }
    const request = ({ name }) => requests.get(name);
    return {
      ask: (document) =>
        isMutation(document)
          ? new Promise((onCompleted, onError) => {
              const { variables } = document;
              commitMutation(environment, { mutation: request(document), variables, onCompleted, onError });
            })
          : fetchQuery(environment, request(document), document.variables).toPromise(),
      read(document) {
        const operation = createOperationDescriptor(request(document), document.variables);
        environment.retain(operation);
        if (environment.check(operation).status !== "available") return null;
        return environment.lookup(operation.fragment).data;
      },
    };
  },
};

const { ask, read } = await clients[client]();
const answers = [];
for (const document of documents) answers.push(await ask(document));
const kept = [];
for (const document of documents) kept.push(isMutation(document) ? null : await read(document));
process.stdout.write(JSON.stringify({ answers, kept, complaints }));
