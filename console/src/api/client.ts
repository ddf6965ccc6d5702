/** The public GraphQL API, as any frontend uses it: POST for queries and mutations, one WebSocket for subscriptions. */
import {
  Client,
  CombinedError,
  fetchExchange,
  stringifyDocument,
  type AnyVariables,
  type OperationResult,
  type TypedDocumentNode,
} from "@urql/core";
import { CloseCode, createClient, type Client as Socket } from "graphql-ws";

import { BASE } from "../base";
import { lose } from "../session/session";
import * as link from "./link";

/** Longest wait before the next attempt to connect, in milliseconds. */
const LONGEST_WAIT = 10_000;

/** Interval of pings, and the time that a pong has, in milliseconds. */
const PING = 10_000;
const PONG = 5_000;

/** Time that a browser has to begin to save a file, in milliseconds. */
const KEPT = 10_000;

interface Sink<Data> {
  next(data: Data): void;
  /** The server refused the subscription, or ended it for good. */
  failed?(message: string): void;
  complete?(): void;
}

export class Api {
  private readonly client: Client;
  private readonly socket: Socket;

  constructor(private readonly secret: string) {
    this.client = new Client({
      url: `${BASE}/graphql`,
      exchanges: [fetchExchange],
      preferGetMethod: false,
      requestPolicy: "network-only",
      fetchOptions: { headers: { "stageline-session": secret, "stageline-origin": "CONSOLE" } },
    });
    const url = new URL(`${BASE}/graphql`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.socket = connect(url.href, secret);
  }

  async query<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    return this.data(await this.client.query(document, variables).toPromise());
  }

  async mutate<Data, Variables extends AnyVariables>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
  ): Promise<Data> {
    return this.data(await this.client.mutation(document, variables).toPromise());
  }

  /** Follow a subscription to its end, across lost connections; return a function that stops it. */
  follow<Data, Variables extends Record<string, unknown>>(
    document: TypedDocumentNode<Data, Variables>,
    variables: Variables,
    sink: Sink<Data>,
  ): () => void {
    const resumed: Record<string, unknown> = { ...variables };
    return this.socket.subscribe<Data>(
      { query: stringifyDocument(document), variables: resumed },
      {
        next(result) {
          if (result.errors) sink.failed?.(result.errors[0]!.message);
          if (!result.data) return;
          const [thing] = Object.values(result.data) as ({ cursor?: string } | null)[];
          if ("after" in resumed && thing?.cursor) resumed["after"] = thing.cursor;
          sink.next(result.data);
        },
        error: (reason) => {
          if ((reason as CloseEvent).code === CloseCode.Forbidden) lose(this.secret);
          else sink.failed?.(Array.isArray(reason) ? String(reason[0]?.message) : "The connection was refused.");
        },
        complete: () => sink.complete?.(),
      },
    );
  }

  /** Save a file that the server sends at *path*; return why that failed, or null. */
  async download(path: string): Promise<string | null> {
    const answer = await fetch(`${BASE}${path}`, { headers: { "stageline-session": this.secret } }).catch(() => null);
    if (!answer) return "The server can’t be reached.";
    if (answer.status === 401) lose(this.secret);
    if (!answer.ok) return `The server answered ${answer.status}.`;
    const link = document.createElement("a");
    link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "download";
    link.href = URL.createObjectURL(await answer.blob());
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEPT);
    return null;
  }

  close(): void {
    void this.socket.dispose();
    link.setState("idle");
  }

  private data<Data>(result: OperationResult<Data, AnyVariables>): Data {
    if (result.error) {
      if (result.error.response?.status === 401) lose(this.secret);
      throw result.error;
    }
    return result.data!;
  }
}

/** Return the message of *fault* for people. */
export function message(fault: unknown): string {
  if (fault instanceof CombinedError) {
    if (fault.networkError) return "The server can’t be reached.";
    return fault.graphQLErrors[0]?.message ?? fault.message;
  }
  return fault instanceof Error ? fault.message : String(fault);
}

function connect(url: string, secret: string): Socket {
  let deadline: ReturnType<typeof setTimeout> | undefined;
  const socket = createClient({
    url,
    lazy: true,
    lazyCloseTimeout: 5_000,
    connectionParams: { session: secret, origin: "CONSOLE" },
    keepAlive: PING,
    retryAttempts: Infinity,
    retryWait,
    shouldRetry: (reason) => (reason as CloseEvent).code !== CloseCode.Forbidden,
    on: {
      connected: () => link.setState("open"),
      ping: (received) => {
        if (!received) deadline = setTimeout(() => socket.terminate(), PONG);
      },
      pong: (received) => {
        if (received) clearTimeout(deadline);
      },
      closed: (event) => {
        clearTimeout(deadline);
        const isWanted = (event as CloseEvent).code === 1000; // the last subscription ended
        link.setState(isWanted ? "idle" : "lost");
      },
    },
  });
  return socket;
}

/** Wait before the next attempt: longer each time, and not while the network comes back or the page is looked at. */
async function retryWait(retries: number): Promise<void> {
  const longest = Math.min(LONGEST_WAIT, 300 * 2 ** Math.min(retries, 10));
  await new Promise<void>((resolve) => {
    const done = new AbortController();
    const wake = () => {
      if (document.visibilityState === "hidden") return;
      clearTimeout(timer);
      done.abort();
      resolve();
    };
    const timer = setTimeout(() => {
      done.abort();
      resolve();
    }, longest * (0.5 + Math.random() / 2));
    addEventListener("online", wake, { signal: done.signal });
    document.addEventListener("visibilitychange", wake, { signal: done.signal });
  });
}
