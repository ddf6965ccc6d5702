/** The commands of the page: each part offers its own for as long as it is drawn. */
import { useEffect, useRef } from "react";

import { useRights, type Role } from "../session/rights";

export interface Command {
  label: string;
  /** Heading under which the palette and the sheet of keys list it. */
  group: string;
  /** A single key that runs it, or the keys in words if it only explains them. */
  key?: string;
  /** The role without which it is not offered. */
  needs?: Role;
  /** Missing if a part of the page handles the keys itself. */
  run?: () => void;
}

const offers = new Map<object, () => Command[]>();

/** Offer the commands that one may use, while the component is drawn; *list* is called when somebody looks. */
export function useCommands(list: () => Command[]): void {
  const { refusal } = useRights();
  const allowed = () => list().filter(({ needs }) => refusal(needs) === null);
  const newest = useRef(allowed);
  newest.current = allowed;
  useEffect(() => {
    const own = {};
    offers.set(own, () => newest.current());
    return () => void offers.delete(own);
  }, []);
}

export function commands(): Command[] {
  return [...offers.values()].flatMap((list) => list());
}

const OFF = "stageline-single-keys";

/** Single keys can be turned off, because speech input would press them (WCAG 2.1.4). */
export const singleKeys = {
  areOn: () => localStorage.getItem(OFF) !== "off",
  turn(isOn: boolean) {
    if (isOn) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "off");
  },
};
