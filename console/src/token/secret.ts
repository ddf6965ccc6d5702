/** A token is made here, so the server gets its hash only. */

interface NewToken {
  text: string;
  hash: string;
}

/** Length of a token's random part, in bytes. */
const LENGTH = 32;

/** Return a new token; null where browsers have no SHA-256, which is over http from another machine. */
export async function newToken(): Promise<NewToken | null> {
  if (!isSecureContext) return null;
  const bytes = crypto.getRandomValues(new Uint8Array(LENGTH));
  const random = btoa(String.fromCharCode(...bytes)).replace(/[+/=]/g, (each) => ({ "+": "-", "/": "_" })[each] ?? "");
  const text = `stageline_${random}`;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  const hash = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return { text, hash };
}
