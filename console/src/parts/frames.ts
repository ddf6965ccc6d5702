/** Data that changes faster than a page is drawn; a component draws it at most once for each frame. */
export class Frames {
  private times = 0;
  private isDrawing = false;
  private readonly listeners = new Set<() => void>();

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  };

  /** A number that differs after each change. */
  readonly current = (): number => this.times;

  protected draw(): void {
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      this.times++;
      this.listeners.forEach((listener) => listener());
    });
  }
}
