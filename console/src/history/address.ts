/** The address of the history: its filters, and the moments that it shows. */
import { useSearchParams } from "wouter";

import { changed } from "../parts/parameters";

export const FILTERS = ["text", "actor", "type", "part", "origin", "since", "until"] as const;
export type Filter = (typeof FILTERS)[number];

/** Moment that the page shows, and the one that it is compared with; nothing stands for the newest and the one before. */
export type Name = Filter | "at" | "with";

export interface Address {
  get(name: Name): string;
  /** Write values; "" removes one. An address that is *kept* gets its own place in the browser's history. */
  set(values: Partial<Record<Name, string>>, isKept?: boolean): void;
  /** Return the address with other values, for a link. */
  with(values: Partial<Record<Name, string>>): string;
}

export function useAddress(): Address {
  const [parameters, setParameters] = useSearchParams();
  return {
    get: (name) => parameters.get(name) ?? "",
    set: (values, isKept = false) => setParameters((now) => changed(now, values), { replace: !isKept }),
    with: (values) => `?${changed(parameters, values)}`,
  };
}
