import type { SagaStatus } from "sagaz";

const CLEAR_LINE = "\r\u001b[K";
const FIRST_COLUMNS = 100;

/** Writes to a terminal with a live line at the bottom, or plain lines to anything else. */
export class Screen {
  readonly isLive = process.stdout.isTTY && process.env["TERM"] !== "dumb";
  readonly #hasColours = this.isLive && !process.env["NO_COLOR"];
  #live = "";

  heading(text: string): void {
    this.line(`\n${this.#paint(1, text)}`);
  }

  line(text = ""): void {
    if (this.#live) process.stdout.write(CLEAR_LINE);
    process.stdout.write(`${text}\n`);
    if (this.#live) process.stdout.write(this.#live);
  }

  /** Shows how sagas stand, on a line that the next call replaces. Only in a terminal. */
  progress(statuses: readonly SagaStatus[], seconds: number): void {
    if (!this.isLive) return;
    const ended = statuses.filter((status) => marks[status].ended).length;
    const columns = (process.stdout.columns ?? FIRST_COLUMNS) - 1;
    const text = `  ${ended} of ${statuses.length} ended  ${seconds.toFixed(1)} s`;
    const cells = statuses.slice(0, columns - text.length - 2).map((status) => this.mark(status));
    this.#live = `  ${cells.join("")}${text}`;
    process.stdout.write(CLEAR_LINE + this.#live);
  }

  /** Takes the live line away. */
  endProgress(): void {
    if (this.#live) process.stdout.write(CLEAR_LINE);
    this.#live = "";
  }

  /** One character for a status: the same in the live line and in lists. */
  mark(status: SagaStatus): string {
    return this.#paint(marks[status].colour, marks[status].text);
  }

  #paint(colour: number, text: string): string {
    return this.#hasColours ? `\u001b[${colour}m${text}\u001b[0m` : text;
  }
}

const marks: Readonly<
  Record<SagaStatus, { readonly text: string; readonly colour: number; readonly ended: boolean }>
> = {
  pending: { text: "·", colour: 2, ended: false },
  running: { text: "▸", colour: 36, ended: false },
  compensating: { text: "◂", colour: 33, ended: false },
  parked: { text: "‖", colour: 35, ended: false },
  completed: { text: "✓", colour: 32, ended: true },
  compensated: { text: "↩", colour: 33, ended: true },
  compensated_with_exceptions: { text: "!", colour: 31, ended: true },
  forced_closed: { text: "×", colour: 31, ended: true },
};
