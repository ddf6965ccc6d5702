import { useEffect, useState } from "react";
import { useLocation } from "wouter";

import { commands, singleKeys, useCommands } from "./commands";
import { KeySheet } from "./keys";
import { Palette } from "./palette";
import * as theme from "../parts/theme";

type Open = "palette" | "keys" | null;

const opened = new Set<(open: Open) => void>();

/** Open the palette or the sheet of keys from anywhere. */
export function open(what: Exclude<Open, null>): void {
  opened.forEach((set) => set(what));
}

/** Listens to Ctrl-K and to single keys, and shows the palette and the sheet of keys. */
export function CommandCenter() {
  const [isOpen, setOpen] = useState<Open>(null);
  const [, navigate] = useLocation();

  useEffect(() => {
    opened.add(setOpen);
    return () => void opened.delete(setOpen);
  }, []);

  useCommands(() => [
    { label: "Find anything", group: "Everywhere", key: "Ctrl K" },
    { label: "All environments", group: "Everywhere", key: "0", run: () => navigate("/") },
    { label: "Tokens", group: "Everywhere", run: () => navigate("/tokens") },
    { label: "Roles", group: "Everywhere", run: () => navigate("/roles") },
    { label: "Webhooks", group: "Everywhere", run: () => navigate("/webhooks") },
    { label: "Show the keys", group: "Everywhere", key: "?", run: () => setOpen("keys") },
    { label: "Change between light and dark", group: "Everywhere", key: "t", run: theme.toggle },
    { label: "Go to the search of the page", group: "Everywhere", key: "/", run: search },
  ]);

  useEffect(() => {
    function onKeyDown(event: KeyboardEvent) {
      if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") {
        event.preventDefault();
        if (!document.querySelector("dialog[open]")) setOpen("palette");
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing) return;
      if (!singleKeys.areOn() || isBusy(event.target)) return;
      const command = commands().find(({ key, run }) => run && key === event.key);
      if (!command) return;
      event.preventDefault();
      command.run!();
    }
    document.addEventListener("keydown", onKeyDown);
    return () => document.removeEventListener("keydown", onKeyDown);
  }, []);

  if (isOpen === "palette") return <Palette close={() => setOpen(null)} />;
  if (isOpen === "keys") return <KeySheet close={() => setOpen(null)} />;
  return null;
}

/** Whether somebody writes, or a dialog or a menu is open. */
function isBusy(target: EventTarget | null): boolean {
  const isField = target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");
  return isField || document.querySelector("dialog[open], [popover]:popover-open") !== null;
}

function search(): void {
  document.querySelector<HTMLInputElement>("main input[type=search]")?.focus();
}
