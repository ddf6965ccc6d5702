/** Short messages about what happened, for eyes and for screen readers. */

interface Notice {
  id: number;
  text: string;
  isRefusal?: boolean;
  /** An offer beside the text, such as an undo. */
  offer?: { label: string; action: () => void };
}

/** Number of notices that are shown at once. */
const MOST = 3;

/** Time that a notice stays, in milliseconds; a refusal stays until it is closed. */
const STAY = 8_000;

const listeners = new Set<() => void>();
let notices: readonly Notice[] = [];
let said = "";
let next = 1;

export function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export const current = (): readonly Notice[] => notices;
export const spoken = (): string => said;

function changed(): void {
  listeners.forEach((listener) => listener());
}

export function show(notice: Omit<Notice, "id">): void {
  const id = next++;
  notices = [...notices.slice(1 - MOST), { ...notice, id }];
  if (!notice.isRefusal) setTimeout(() => dismiss(id), STAY);
  say(notice.text);
}

export function dismiss(id: number): void {
  notices = notices.filter((each) => each.id !== id);
  changed();
}

/** Let screen readers say *text*; the same text twice is said twice. */
export function say(text: string): void {
  said = said === text ? `${text}\u00a0` : text;
  changed();
}
