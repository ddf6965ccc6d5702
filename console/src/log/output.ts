/** The output of a deployment, or of a part of it: a window of its lines, which moves with the scroll position. */
import { message, type Api } from "../api/client";
import type { ResultOf, VariablesOf } from "../graphql";
import { Frames } from "../parts/frames";
import { FOLLOW, NEXT, PREVIOUS, TAIL } from "./documents";

type Tail = NonNullable<ResultOf<typeof TAIL>["deploymentLogs"]>;
type Page = NonNullable<ResultOf<typeof NEXT>["deploymentLogs"]>;
type Batch = ResultOf<typeof FOLLOW>["deploymentLogs"];
/** A line; one that a batch brought has no cursor. */
export type Line = Omit<Page["nodes"][number], "cursor"> & { cursor?: string };
export type Unfinished = Tail["unfinished"][number];
export type Selection = Omit<VariablesOf<typeof NEXT>, "first" | "fromNumber">;

/** Number of lines that are read at once; the server allows 500. */
const PAGE = 500;

/** Number of lines in the window. */
const MOST = 4_000;

/** Number of rows between a visible row and an end of the window at which more lines are read. */
const NEAR = 200;

export class Output extends Frames {
  /** The lines of the window; the first one is in row *start*. */
  lines: Line[] = [];
  start = 0;
  /** Number of all lines. In a part of the output it may be wrong by a few until both ends were seen. */
  total = 0;
  firstFailure: number | null = null;
  unfinished: Unfinished[] = [];
  isOver = false;
  isLoaded = false;
  failure: string | null = null;
  /** Called when the window gets other row numbers, by so many rows. */
  onShift: (rows: number) => void = () => undefined;

  private first = 1; // number of the first line of all
  private last = 0; // number of the last line so far
  private isAtStart = false;
  private wanted: [first: number, last: number] = [0, 0];
  private queue: Promise<unknown> = Promise.resolve();
  private isFilling = false;
  private isClosed = false;
  private unfollow: () => void = () => undefined;

  constructor(
    private readonly api: Api,
    readonly selection: Selection,
  ) {
    super();
  }

  line(row: number): Line | undefined {
    return this.lines[row - this.start];
  }

  private get end(): number {
    return this.start + this.lines.length;
  }

  /** Whether the numbers of the lines have no gaps, so that they say in which row each line is. */
  private get isWhole(): boolean {
    return !this.selection.service && !this.selection.phase && !this.selection.attempt;
  }

  /** Read the last lines, and follow what comes after them. */
  open(): Promise<void> {
    this.isClosed = false;
    return this.exclusively(async () => {
      const { deploymentLogs: page, start } = await this.api.query(TAIL, { ...this.selection, last: PAGE });
      if (!page) throw new Error("There is no such deployment.");
      this.first = start?.nodes[0]?.number ?? 1;
      this.last = page.nodes.at(-1)?.number ?? 0;
      this.total = this.isWhole ? this.last : (page.totalCount ?? page.nodes.length);
      this.firstFailure = page.firstFailure?.number ?? null;
      this.unfinished = page.unfinished;
      this.lines = page.nodes;
      this.start = this.total - page.nodes.length;
      this.isAtStart = !page.pageInfo.hasPreviousPage;
      this.isLoaded = true;
      if (!this.isClosed) this.follow(page.pageInfo.endCursor);
    });
  }

  close(): void {
    this.isClosed = true;
    this.unfollow();
  }

  /** Read the rows from *first* to *last*, and those near them, if they are not in the window. */
  want(first: number, last: number): void {
    this.wanted = [first, last];
    if (!this.isFilling && this.isLoaded) void this.fill();
  }

  /** Read the lines around the line with *number*; return its row, or that of the line after it. */
  async find(number: number): Promise<number> {
    const isInside = () => (this.lines[0]?.number ?? Infinity) <= number && number <= (this.lines.at(-1)?.number ?? 0);
    if (!isInside()) await this.exclusively(async () => void (await this.readAround(number)));
    const at = this.lines.findIndex((line) => line.number >= number);
    return this.start + (at < 0 ? Math.max(0, this.lines.length - 1) : at);
  }

  private async fill(): Promise<void> {
    this.isFilling = true;
    let isMore = true;
    while (isMore && !this.isClosed) {
      isMore = false;
      await this.exclusively(async () => {
        const [first, last] = this.wanted;
        isMore = true;
        if ((last <= this.start || first >= this.end) && first < this.total) await this.jump(first);
        else if (first < this.start + NEAR && !this.isAtStart) await this.extendUp();
        else if (last > this.end - NEAR && this.end < this.total) await this.extendDown();
        else isMore = false;
      });
      if (this.failure !== null) isMore = false;
    }
    this.isFilling = false;
  }

  /** Read the lines at *row*. In a part of the output its number is estimated. */
  private async jump(row: number): Promise<void> {
    if (this.isWhole) return void (await this.readAround(row + 1));
    const share = row / Math.max(1, this.total - 1);
    const found = await this.readAround(Math.round(this.first + share * (this.last - this.first)), row);
    if (found !== row) this.shift(found - row);
  }

  /** Read the lines around the line with *number*; return its row, or that of the line after it. */
  private async readAround(number: number, row?: number): Promise<number> {
    const { nodes, pageInfo } = await this.read(NEXT, { first: PAGE, fromNumber: Math.max(1, number - PAGE / 2) });
    if (nodes.length === 0) return this.end; // all lines have lower numbers
    this.learn(nodes);
    const begin = nodes[0]!.number;
    const at = Math.max(0, nodes.findIndex((line) => line.number >= number));
    const share = (number - this.first) / Math.max(1, this.last - this.first);
    const guess = (row ?? Math.round(share * (this.total - 1))) - at;
    this.lines = nodes;
    this.isAtStart = begin <= this.first;
    if (this.isAtStart) this.start = 0;
    else if (this.isWhole) this.start = begin - 1;
    else if (!pageInfo.hasNextPage) this.start = Math.max(1, this.total - nodes.length);
    else this.start = Math.max(1, Math.min(guess, this.total - nodes.length - 1));
    if (!pageInfo.hasNextPage) this.total = this.end;
    return this.start + at;
  }

  private async extendUp(): Promise<void> {
    const before = this.lines[0]!.cursor ?? (await this.cursor(this.lines[0]!.number));
    const { nodes, pageInfo } = await this.read(PREVIOUS, { last: PAGE, before });
    this.lines = [...nodes, ...this.lines].slice(0, MOST);
    this.start -= nodes.length;
    this.isAtStart = !pageInfo.hasPreviousPage;
    const right = this.isAtStart ? 0 : Math.max(1, this.start);
    if (right === this.start) return;
    this.total += right - this.start;
    this.shift(right - this.start);
    this.start = right;
  }

  private shift(rows: number): void {
    this.wanted = [this.wanted[0] + rows, this.wanted[1] + rows];
    this.onShift(rows);
  }

  private async extendDown(): Promise<void> {
    const { nodes, pageInfo } = await this.read(NEXT, { first: PAGE, fromNumber: this.lines.at(-1)!.number + 1 });
    this.learn(nodes);
    this.append(nodes);
    if (!pageInfo.hasNextPage) this.total = this.end;
    else if (this.end >= this.total) this.total = this.end + 1;
  }

  private append(lines: Line[]): void {
    const newest = this.lines.at(-1)?.number ?? 0;
    const all = this.lines.concat(lines.filter(({ number }) => number > newest));
    const dropped = Math.max(0, all.length - MOST);
    this.lines = all.slice(dropped);
    this.start += dropped;
    if (dropped) this.isAtStart = false;
  }

  /** Count lines that are newer than all before. */
  private learn(lines: Line[]): void {
    this.total += lines.filter(({ number }) => number > this.last).length;
    this.last = Math.max(this.last, lines.at(-1)?.number ?? 0);
  }

  private async cursor(number: number): Promise<string> {
    return (await this.read(NEXT, { first: 1, fromNumber: number })).nodes[0]!.cursor;
  }

  private async read<Part extends object>(
    document: Parameters<typeof this.api.query<{ deploymentLogs: Page | null }, Selection & Part>>[0],
    part: Part,
  ): Promise<Page> {
    const { deploymentLogs } = await this.api.query(document, { ...this.selection, ...part });
    if (!deploymentLogs) throw new Error("There is no such deployment.");
    return deploymentLogs;
  }

  private follow(after: string | null): void {
    this.unfollow();
    this.unfollow = this.api.follow(
      FOLLOW,
      { ...this.selection, after },
      {
        next: ({ deploymentLogs }) => this.receive(deploymentLogs),
        failed: (text) => {
          this.failure = text;
          this.draw();
        },
        complete: () => {
          this.isOver = true;
          this.unfinished = [];
          this.draw();
        },
      },
    );
  }

  private receive({ chunks, unfinished }: Batch): void {
    const isAtEnd = this.end >= this.total;
    for (const { texts, number, ...chunk } of chunks) {
      const lines = texts.map((text, at) => ({ ...chunk, number: number + at, text }));
      this.learn(lines);
      if (isAtEnd) this.append(lines);
      if (chunk.kind === "FAILURE") this.firstFailure ??= number;
    }
    this.unfinished = unfinished;
    this.draw();
  }

  /** Run *job* after the one before; a fault becomes the failure. */
  private exclusively(job: () => Promise<void>): Promise<void> {
    const done = this.queue.then(async () => {
      try {
        await job();
        this.failure = null;
      } catch (fault) {
        this.failure = message(fault);
      }
      this.draw();
    });
    this.queue = done;
    return done;
  }
}
