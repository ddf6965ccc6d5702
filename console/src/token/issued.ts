import type { ResultOf } from "../graphql";
import type { TOKENS } from "./documents";

export type Token = ResultOf<typeof TOKENS>["tokens"]["nodes"][number];

/** Return the valid ones of *tokens* that *issuer* issued, that these issued, and so on. */
export function issuedBy(issuer: Token, tokens: Token[]): Token[] {
  const line = new Set([issuer.id]);
  for (const { id, issuingTokenId } of tokens) if (issuingTokenId !== null && line.has(issuingTokenId)) line.add(id); // in the order of their issue
  return tokens.filter(({ id, isValid }) => isValid && id !== issuer.id && line.has(id));
}
