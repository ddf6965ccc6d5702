// Audits a server by the GraphQL over HTTP specification with graphql-http, and prints each audit as a line of JSON.
//
//   node audit.mjs URL TOKEN

import { auditServer } from "graphql-http";

const [url, token] = process.argv.slice(2);

function fetchFn(address, { headers, ...options } = {}) {
  return fetch(address, { ...options, headers: { ...headers, authorization: `Bearer ${token}` } });
}

for (const { id, name, status, reason } of await auditServer({ url, fetchFn })) {
  console.log(JSON.stringify({ id, name, status, reason }));
}
