import { commandMutations } from "./commands/command-mutations.ts";
import { deliveryMutations } from "./delivery/delivery-mutations.ts";
import type { Mutation } from "./mutation.ts";

/** Mistakes that the simulation must notice. Each is one that somebody could make, or that the engine once had. */
export const mutations: readonly Mutation[] = [
  {
    name: "a fenced worker may write",
    file: "storage/memory/tables.ts",
    text: 'if (!worker) throw new SagaError("SAGAZ_FENCED", { epoch });\n    return worker;',
    replacement: "return worker as WorkerRecord;",
  },
  {
    name: "whoever does not own a saga may write to it",
    file: "storage/memory/journal.ts",
    text: "tail?.owner === this.#epoch",
    replacement: "true",
  },
  {
    name: "the compare-and-set on seq is dropped",
    file: "storage/memory/journal.ts",
    text: " || firstSeq !== tail.seq + 1",
    replacement: "",
  },
  {
    name: "undo follows the dependency order instead of its reverse",
    file: "core/definition/graph.ts",
    text: "order.get(earlier)?.add(later.name)",
    replacement: "order.get(later.name)?.add(earlier)",
  },
  {
    name: "undo does not wait for what comes first",
    file: "core/decide/backward.ts",
    text: "if (isItsTurn(view, step)) undoStep",
    replacement: "undoStep",
  },
  {
    name: "a new owner computes recorded results again",
    file: "runtime/arrivals.ts",
    text: "return fold(saga.sagaId, saga.journal.map(fromStored));",
    replacement:
      'const state = fold(saga.sagaId, saga.journal.map(fromStored));\n      for (const step of state.steps.values()) if (step.status === "done") step.status = "pending";\n      return state;',
  },
  {
    name: "a released saga forgets its timer",
    file: "runtime/saga-runner.ts",
    text: "this.#releaseFor(move.wakeAt ?? null, move.waitingFor)",
    replacement: "this.#releaseFor(null, move.waitingFor)",
  },
  {
    name: "mail that was taken is taken again",
    file: "runtime/saga-runner.ts",
    text: 'if (arrival === "repeat") return;',
    replacement:
      'if (arrival === "repeat") this.#recording.record(answer(this.#view.look(), fromText(mail.body) as SagaRequest), 0);',
  },
  {
    name: "a write is acknowledged before it is done",
    file: "runtime/journal-writer.ts",
    text: "const error = await this.#try(open);",
    replacement: "settle(open, undefined);\n      const error = await this.#try(open);",
  },
  {
    name: "a commit in doubt is taken for done",
    file: "runtime/doubt.ts",
    text: 'if (holder === "us") return "not written";',
    replacement: 'if (holder === "us") return "written";',
  },
  {
    name: "mail is answered without a trace in the journal",
    file: "runtime/saga-runner.ts",
    text: "this.#recording.record(answer(view, fromText(mail.body) as SagaRequest), view.now);",
    replacement: "answer(view, fromText(mail.body) as SagaRequest);",
  },
  {
    name: "what may have been done is not undone",
    file: "core/decide/view.ts",
    text: ' || step?.status === "maybe_done"',
    replacement: "",
  },
  {
    name: "the pivot begins before its start is on record",
    file: "core/decide/forward.ts",
    text: "return pivotStartedSeq !== undefined && pivotStartedSeq <= view.live.ackedSeq;",
    replacement: "return true;",
  },
  {
    name: "a release does not look at the mail",
    file: "storage/memory/rows.ts",
    text: "mailed || found ?",
    replacement: "found ?",
  },
  {
    name: "a broken connection counts as a failure",
    file: "core/decide/outcome.ts",
    text: "if (isAmbiguous(thrown)) return",
    replacement: "if (aborted) return",
  },
  {
    name: "an aborted attempt counts as a failure",
    file: "core/decide/outcome.ts",
    text: "if (aborted) return",
    replacement: "if (false) return",
  },
  {
    name: "a cancelled saga is not compensated",
    file: "core/decide/backward.ts",
    text: "if (!open && view.live.tasks.size === 0)",
    replacement: 'if ((!open || view.state.failure?.kind === "cancel") && view.live.tasks.size === 0)',
  },
  {
    name: "a late effect is undone under the key of the first undo",
    file: "core/saga/evolve.ts",
    text: "step.undoRound++;\n    step.tries",
    replacement: "step.tries",
  },
  {
    name: "late effects are not heard",
    file: "core/decide/settle.ts",
    text: 'return [{ type: "late_effect", step: key, data: effect }];',
    replacement: "return [];",
  },
  {
    name: "adoption forgets that attempts were in flight",
    file: "core/decide/adopt.ts",
    text: "if (crashed || view.state.parked?.crashed) doubtAll(view);",
    replacement: "",
  },
  {
    name: "compensation overtakes attempts in flight",
    file: "core/decide/unwind.ts",
    text: "isHalted(view) || view.live.tasks.size > 0 ||",
    replacement: "isHalted(view) ||",
  },
  {
    name: "a paused saga goes on",
    file: "core/decide/view.ts",
    text: "state.pausedAt !== undefined ||",
    replacement: "",
  },
  {
    name: "an idempotency key is not looked up",
    file: "storage/memory/starts.ts",
    text: 'const holder = tables.keys.get(toKey(start) ?? "");',
    replacement: "const holder = tables.keys.get(String(Math.PI));",
  },
  {
    name: "the row is written only when the saga leaves",
    file: "runtime/recording.ts",
    text: "if (!release && isShown(this.#row, state)) return undefined;",
    replacement: "if (!release) return undefined;",
  },
  {
    name: "time in a journal goes back with the database's clock",
    file: "storage/memory/journal.ts",
    text: "this.at = Math.max(this.at, this.#tables.journals.get(entry.sagaId)?.at(-1)?.at ?? 0);",
    replacement: "",
  },
  {
    name: "a paused or parked saga is woken for a time that has passed",
    file: "core/decide/forward.ts",
    text: "if (mayStartNow(view, step)) wake(move, at);",
    replacement: "wake(move, at);",
  },
  {
    name: "a failed item keeps its place in the window of its map",
    file: "core/decide/forward.ts",
    text: "return isPending(item) || item.seq > ackedSeq;",
    replacement: 'return item?.status !== "done" || item.seq > ackedSeq;',
  },
  {
    name: "a saga whose write was refused is forgotten by its owner",
    file: "runtime/reload.ts",
    text: "if (why === undefined) onLoaded(adopted, epoch);",
    replacement: "if (why === undefined) return;",
  },
  {
    name: "nobody looks for sagas that were forgotten",
    file: "runtime/roll-call.ts",
    text: "if (forgotten.length === 0) return;",
    replacement: "return;",
  },
  {
    name: "a claim on its way is taken for forgotten",
    file: "runtime/roll-call.ts",
    text: "if (this.#takings > 0) await",
    replacement: "if (this.#takings < 0) await",
  },
  {
    name: "the items of a map begin before its list is on record",
    file: "core/decide/forward.ts",
    text: "if (state.itemsSeq > view.live.ackedSeq) return;",
    replacement: "",
  },
  {
    name: "a fork names itself in the key of what its source did",
    file: "core/decide/task.ts",
    text: "state.started.reused?.[key]?.actionKey ??",
    replacement: "",
  },
  {
    name: "a saga in a crash loop sleeps beside its mail",
    file: "runtime/parking.ts",
    text: "readsMailNow(reason) ? 0 : saga.mailSeq",
    replacement: "saga.mailSeq",
  },
  {
    name: "what a crash left in doubt is forgotten by parking",
    file: "core/decide/adopt.ts",
    text: "crashed || view.state.parked?.crashed",
    replacement: "crashed",
  },
  {
    name: "mail whose refusal was lost counts as answered",
    file: "runtime/taken-mail.ts",
    text: "return this.#isFetched && this.#refusing === 0 ? this.#seq : -1;",
    replacement: "return this.#seq;",
  },
  {
    name: "a place is never given back",
    file: "runtime/room.ts",
    text: "places.taken--;",
    replacement: "",
  },
  ...deliveryMutations,
  ...commandMutations,
];
