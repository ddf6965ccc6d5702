import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";

import { useRights, type Role } from "../session/rights";
import "./menu.css";

interface Item {
  label: string;
  action: () => void;
  isDangerous?: boolean;
  isDisabled?: boolean;
  /** The role without which it is disabled; its title says so. */
  needs?: Role;
  /** A heading above the item. */
  group?: string;
}

interface Props {
  label: string;
  /** The items, which are made when the menu opens. */
  items: () => Item[];
  /** The text of the button; three dots if missing. */
  text?: string;
  tabIndex?: number;
  /** The role without which no item can be chosen. */
  needs?: Role;
}

/** A button that opens a menu, as the ARIA Authoring Practices describe it. */
export function Menu({ label, items, text, tabIndex, needs }: Props) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();
  const refusal = useRights().refusal(needs);
  return (
    <>
      <button
        ref={button}
        type="button"
        className={text === undefined ? "dots" : undefined}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        aria-controls={isOpen ? id : undefined}
        aria-label={text === undefined ? label : undefined}
        title={refusal ?? (text === undefined ? label : undefined)}
        disabled={refusal !== null}
        tabIndex={tabIndex}
        onClick={() => setOpen(true)}
      >
        {text ?? <span aria-hidden="true">⋯</span>}
      </button>
      {isOpen && <List id={id} label={label} items={items()} button={button.current!} close={() => setOpen(false)} />}
    </>
  );
}

interface ListProps {
  id: string;
  label: string;
  items: Item[];
  button: HTMLElement;
  close: () => void;
}

function List({ id, label, items, button, close }: ListProps) {
  const list = useRef<HTMLDivElement>(null);
  const { refusal } = useRights();
  const choices = items.map((item) => {
    const why = refusal(item.needs);
    return { ...item, why, isDisabled: item.isDisabled || why !== null };
  });
  const enabled = () => [...list.current!.querySelectorAll<HTMLElement>("[role=menuitem]:not([aria-disabled])")];

  useEffect(() => {
    const popover = list.current!;
    const ends = (event: ToggleEvent) => event.newState === "closed" && close();
    popover.showPopover();
    const place = button.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = popover;
    const below = place.bottom + 4;
    popover.style.left = `${Math.max(8, Math.min(place.right - width, innerWidth - width - 8))}px`;
    popover.style.top = `${below + height > innerHeight ? Math.max(8, place.top - height - 4) : below}px`;
    popover.addEventListener("toggle", ends);
    (enabled()[0] ?? popover).focus();
    return () => popover.removeEventListener("toggle", ends);
  }, []);

  function onKeyDown(event: KeyboardEvent) {
    const all = enabled();
    const at = all.indexOf(document.activeElement as HTMLElement);
    const go = (index: number) => {
      all.at(index % all.length)?.focus();
      event.preventDefault();
    };
    event.stopPropagation();
    if (event.key === "ArrowDown") go(at + 1);
    else if (event.key === "ArrowUp") go(at - 1);
    else if (event.key === "Home") go(0);
    else if (event.key === "End") go(-1);
    else if (event.key === "Tab") close();
    else if (event.key === "Escape") {
      event.preventDefault();
      close();
      button.focus();
    } else if (event.key.length === 1 && event.key !== " ") {
      const rest = [...all.slice(at + 1), ...all.slice(0, at + 1)];
      rest.find((item) => item.textContent!.toLowerCase().startsWith(event.key.toLowerCase()))?.focus();
    }
  }

  return (
    <div ref={list} id={id} popover="auto" role="menu" tabIndex={-1} aria-label={label} className="menu" onKeyDown={onKeyDown}>
      {choices.map((item, index) => [
        item.group && (
          <div key={`group-${index}`} className="group" role="presentation">
            {item.group}
          </div>
        ),
        <button
          key={index}
          type="button"
          role="menuitem"
          tabIndex={-1}
          className={item.isDangerous ? "dangerous" : undefined}
          aria-disabled={item.isDisabled || undefined}
          title={item.why ?? undefined}
          onClick={() => {
            if (item.isDisabled) return;
            close();
            button.focus();
            item.action();
          }}
        >
          <bdi>{item.label}</bdi>
        </button>,
      ])}
    </div>
  );
}
