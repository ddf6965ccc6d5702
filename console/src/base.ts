/** Path below which the server serves the console, without a slash at its end; empty for /. */
export const BASE = import.meta.env.DEV ? "" : new URL(/* @vite-ignore */ "..", import.meta.url).pathname.replace(/\/$/, "");
