import type { Outcome } from "../core/decide/outcome.ts";
import { effectOf } from "../core/decide/settle.ts";
import type { Task } from "../core/decide/view.ts";
import { toMail } from "./entry.ts";
import type { RunnerHost } from "./runner-host.ts";

/** How an attempt ended. */
export interface Settled {
  readonly task: Task;
  readonly outcome: Outcome;
}

const NONE: readonly never[] = [];

/**
 * What the actions of one saga have done that is not on record yet, so that it does not get lost with our ownership.
 *
 * After a fence the new owner takes a step for one that may have run, and may have undone it before our action took
 * effect: a late call of a worker that had not noticed yet. So it is told of every effect that we could not record,
 * whether the fence was noticed before the action ended or by the write of its end. If the step is still open there,
 * that is its result; if its undo has begun, it is undone once more; else nothing happens.
 */
export class Effects {
  readonly #host: RunnerHost;
  readonly #sagaId: string;
  #settled: Settled[] | undefined;

  constructor(host: RunnerHost, sagaId: string) {
    this.#host = host;
    this.#sagaId = sagaId;
  }

  /** An attempt ended; the next write records it. One without an effect is not kept: retries may come without end, and without a write. */
  note(settled: Settled): void {
    if (effectOf(settled.task, settled.outcome)) (this.#settled ??= []).push(settled);
  }

  /** What the next write records. */
  take(): readonly Settled[] {
    const settled = this.#settled ?? NONE;
    this.#settled = undefined;
    return settled;
  }

  /** Tells whoever has the saga now of the effects among these. */
  tell(settled: readonly Settled[]): void {
    for (const { task, outcome } of settled) {
      const effect = effectOf(task, outcome);
      if (!effect) continue;
      const result = outcome.type === "done" ? { result: effect.result ?? null } : {};
      const mailId = `${this.#sagaId}/${task.key}/late/${task.round}/${task.attempt}`;
      this.#host.send(toMail(mailId, this.#sagaId, { kind: "late_effect", step: task.key, ...result }));
    }
  }
}
