/** Terminal output as text: colours and styles are kept, and every other control sequence is dropped. */

/** A part of a line, and how it is drawn. */
export interface Span {
  text: string;
  classes: string;
  /** Colours of the text and behind it, by their number in the palette of 16; null for the usual ones. */
  ink: number | null;
  paper: number | null;
}

interface Style {
  ink: number | null;
  paper: number | null;
  isInverse: boolean;
  /** Classes beside the colours, by the code that sets them. */
  classes: Map<number, string>;
}

const SGR = /^(?:\x1b\[|\x9b)([\d;:]*)m$/;

/** Control sequences (SGR is one), strings (OSC and its like, also without an end), other escapes, and controls. */
const CONTROL =
  /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?|[\x00-\x08\n-\x1f\x7f-\x9f]/g;

const CLASSES: Record<number, string> = { 1: "bold", 2: "dim", 3: "italic", 4: "underline", 9: "strike" };

/** The codes that end others. */
const ENDS: Record<number, number[]> = { 22: [1, 2], 23: [3], 24: [4], 29: [9] };

/** Return the parts of *line*. */
export function spans(line: string): Span[] {
  const found: Span[] = [];
  const style: Style = { ink: null, paper: null, isInverse: false, classes: new Map() };
  let end = 0;
  function add(text: string) {
    if (!text) return;
    const span = { text, ...lookOf(style) };
    const last = found.at(-1);
    if (last?.classes === span.classes && last.ink === span.ink && last.paper === span.paper) last.text += text;
    else found.push(span);
  }
  for (const { 0: sequence, index } of line.matchAll(CONTROL)) {
    add(line.slice(end, index));
    end = index + sequence.length;
    const codes = SGR.exec(sequence);
    if (codes) apply(style, codes[1]!);
  }
  add(line.slice(end));
  return found;
}

function lookOf({ ink, paper, isInverse, classes }: Style): Omit<Span, "text"> {
  const all = [...classes.values()];
  if (!isInverse) return { classes: all.join(" "), ink, paper };
  if (ink === null && paper === null) all.push("inverse");
  return { classes: all.join(" "), ink: paper, paper: ink };
}

function apply(style: Style, text: string): void {
  const codes = text.replace(/(38|48):([25])(?::\d*)??((?::\d+){1,3})(?=;|$)/g, "$1:$2$3").split(/[;:]/).map(Number);
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]!;
    if (code === 38 || code === 48) {
      const length = codes[at + 1] === 5 ? 1 : 3;
      const color = nearest(codes.slice(at + 2, at + 2 + length));
      if (code === 38) style.ink = color;
      else style.paper = color;
      at += 1 + length;
    } else set(style, code);
  }
}

function set(style: Style, code: number): void {
  if (code === 0) {
    style.ink = style.paper = null;
    style.isInverse = false;
    style.classes.clear();
  } else if (CLASSES[code]) style.classes.set(code, CLASSES[code]);
  else if (ENDS[code]) ENDS[code].forEach((each) => style.classes.delete(each));
  else if (code === 7 || code === 27) style.isInverse = code === 7;
  else if (code >= 30 && code <= 37) style.ink = code - 30;
  else if (code >= 90 && code <= 97) style.ink = code - 82;
  else if (code === 39) style.ink = null;
  else if (code >= 40 && code <= 47) style.paper = code - 40;
  else if (code >= 100 && code <= 107) style.paper = code - 92;
  else if (code === 49) style.paper = null;
}

/** Return which of the 16 colours is most like one of 256 or of all: the 16 are legible in both colour schemes. */
function nearest(color: number[]): number {
  const [one = 0, green, blue] = color;
  if (green !== undefined) return ofRgb(one, green, blue ?? 0);
  if (one < 16) return one;
  if (one >= 232) return ofRgb(...gray(8 + 10 * (one - 232)));
  const level = (of: number) => (of === 0 ? 0 : 55 + 40 * of);
  const cube = one - 16;
  return ofRgb(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function gray(level: number): [number, number, number] {
  return [level, level, level];
}

function ofRgb(red: number, green: number, blue: number): number {
  const most = Math.max(red, green, blue);
  const least = Math.min(red, green, blue);
  if (most - least < 48) return most < 64 ? 0 : most < 160 ? 8 : most < 224 ? 7 : 15;
  const half = (most + least) / 2;
  const base = Number(red > half) + 2 * Number(green > half) + 4 * Number(blue > half);
  return most > 215 ? base + 8 : base;
}
