import type { SagaError } from "../../core/errors.ts";
import type { Log } from "../../ports/log.ts";
import type { BackOff } from "./back-off.ts";

/** Whether the broker takes anything, for health and the log: a word when it stops, and one when it is back. */
export class BrokerOutage {
  readonly #parts: { readonly counts: { outages: number }; readonly log: Log; readonly backOff: BackOff };
  /** What it said last; undefined while it takes events. */
  current: SagaError | undefined;

  constructor(parts: { readonly counts: { outages: number }; readonly log: Log; readonly backOff: BackOff }) {
    this.#parts = parts;
  }

  /** A batch has met it. */
  met(outage: SagaError): void {
    const { counts, log } = this.#parts;
    counts.outages += 1;
    if (!this.current) log.warn("sagaz: the broker takes no events; they wait", { error: outage.message });
    this.current = outage;
  }

  /** A batch has not. */
  over(): void {
    const { log, backOff } = this.#parts;
    if (this.current) log.info("sagaz: the broker takes events again");
    this.current = undefined;
    backOff.reset();
  }
}
