// graphql-ws as its documentation has it, with the events that bench/subscriptions.py follows: node server.mjs PORT
//
// GET /rate?n=10 has ten events a second made from then on.

import { createServer } from "node:http";

import { GraphQLID, GraphQLInt, GraphQLList, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString } from "graphql";
import { useServer } from "graphql-ws/use/ws";
import { WebSocketServer } from "ws";

const text = { type: new GraphQLNonNull(GraphQLString) };
const number = { type: new GraphQLNonNull(GraphQLInt) };
const Actor = new GraphQLObjectType({ name: "Actor", fields: { id: text } });
const Stage = new GraphQLObjectType({ name: "StageRef", fields: { stageId: text, name: text } });
const Service = new GraphQLObjectType({ name: "ServiceRef", fields: { serviceId: text, name: text, type: text } });
const Event = new GraphQLObjectType({
  name: "DeploymentEvent",
  fields: {
    id: text,
    cursor: text,
    logPosition: number,
    version: number,
    deploymentEventType: text,
    recordedAt: text,
    actor: { type: new GraphQLNonNull(Actor) },
    origin: text,
    reason: { type: GraphQLString },
    message: text,
    stage: { type: Stage },
    service: { type: Service },
    phase: { type: GraphQLString },
    attempt: { type: GraphQLInt },
    failureReason: { type: GraphQLString },
    ports: { type: new GraphQLList(GraphQLInt) },
  },
});

const queues = new Set();

async function* follow() {
  const queue = [];
  let wake = () => {};
  const push = (event) => {
    queue.push(event);
    wake();
  };
  queues.add(push);
  try {
    while (true) {
      while (queue.length > 0) yield { deploymentEvents: queue.shift() };
      await new Promise((resolve) => (wake = resolve));
    }
  } finally {
    queues.delete(push);
  }
}

const schema = new GraphQLSchema({
  query: new GraphQLObjectType({ name: "Query", fields: { ok: text } }),
  subscription: new GraphQLObjectType({
    name: "Subscription",
    fields: {
      deploymentEvents: {
        type: new GraphQLNonNull(Event),
        args: { deployment: { type: new GraphQLNonNull(GraphQLID) }, after: { type: GraphQLString } },
        subscribe: follow,
      },
    },
  }),
});

let position = 0;
function tick() {
  position += 1;
  const event = {
    id: `event_${position.toString(16).padStart(32, "0")}`,
    cursor: Buffer.from(JSON.stringify(["0123456789abcdef", position])).toString("base64url"),
    logPosition: position,
    version: position,
    deploymentEventType: "STEP_RETRIED",
    recordedAt: new Date(performance.timeOrigin + performance.now()).toISOString().replace("Z", "000+00:00"),
    actor: { id: "bench" },
    origin: "ENGINE",
    reason: null,
    message: `Backend: build attempt ${position} failed and will be tried again: no reason`,
    stage: { stageId: "stage_0193c1a2b3c40193c1a2b3c40193c1a2", name: "APPLICATION DEFAULT" },
    service: { serviceId: "service_0193c1a2b3c40193c1a2b3c40193c1a2", name: "Backend", type: "APPLICATION" },
    phase: "BUILD",
    attempt: position,
    failureReason: "no reason",
    ports: null,
  };
  for (const push of queues) push(event);
}

let ticking;
const server = createServer((request, response) => {
  const rate = new URL(request.url, "http://localhost").searchParams.get("n");
  if (rate !== null) {
    clearInterval(ticking);
    if (Number(rate) > 0) ticking = setInterval(tick, 1000 / Number(rate));
  }
  response.end(JSON.stringify({ deployment: "deployment", cursor: null }));
});
useServer({ schema }, new WebSocketServer({ server, path: "/graphql", perMessageDeflate: false }));
server.listen(Number(process.argv[2]), "127.0.0.1");
