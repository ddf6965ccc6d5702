import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";
import { useLocation } from "wouter";

import { useQuery } from "../api/context";
import { Dialog } from "../parts/dialog";
import { commands, type Command } from "./commands";
import { PLACES } from "./documents";
import "./command.css";

/** Number of commands that are listed at once. */
const MOST = 50;

/** Everything that can be done or visited, found by words. */
export function Palette({ close }: { close: () => void }) {
  const [, navigate] = useLocation();
  const [places] = useQuery(PLACES, {});
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const [offered] = useState(commands);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();

  const environments: Command[] = (places.data?.environments?.nodes ?? []).map(({ id, name, project }) => ({
    label: `${project.name} / ${name}`,
    group: "Environments",
    run: () => navigate(`/environments/${id}`),
  }));
  const found = fitting([...offered.filter(({ run }) => run), ...environments], text).slice(0, MOST);
  const at = Math.min(chosen, found.length - 1);

  useEffect(() => {
    list.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [at, text]);

  function run(command: Command | undefined) {
    if (!command) return;
    close();
    setTimeout(() => command.run!()); // the dialog gives the focus back first
  }

  function onKeyDown(event: KeyboardEvent) {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step) setChosen((at + step + found.length) % Math.max(1, found.length));
    else if (event.key === "Enter") run(found[at]);
    else return;
    event.preventDefault();
  }

  return (
    <Dialog title="Find anything" className="palette" close={close}>
      <input
        type="text"
        role="combobox"
        aria-label="Find anything"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={found.length > 0 ? `${id}-${at}` : undefined}
        aria-autocomplete="list"
        placeholder="An environment, a service, or what you want to do"
        autoComplete="off"
        spellCheck={false}
        autoFocus
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          setChosen(0);
        }}
        onKeyDown={onKeyDown}
      />
      <ul ref={list} id={id} role="listbox" aria-label="Found">
        {found.map((command, index) => (
          <li
            key={`${command.group} ${command.label} ${index}`}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === at}
            onMouseMove={() => setChosen(index)}
            onClick={() => run(command)}
          >
            <bdi>{command.label}</bdi>
            <small>{command.group}</small>
            {command.key && <kbd>{command.key}</kbd>}
          </li>
        ))}
      </ul>
      {found.length === 0 && (
        <p className="soft" role="status">
          {places.state === "loading" ? "Looking …" : places.state === "failed" ? places.message : "Nothing fits."}
        </p>
      )}
    </Dialog>
  );
}

/** Return the commands that have all words of *text*; those that begin with it come first. */
function fitting(all: Command[], text: string): Command[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const isFirst = ({ label }: Command) => label.toLowerCase().startsWith(words[0] ?? "");
  return all
    .filter(({ label, group }) => words.every((word) => `${label} ${group}`.toLowerCase().includes(word)))
    .sort((one, other) => Number(isFirst(other)) - Number(isFirst(one)));
}
