import { describe, expect, test } from "vitest";
import { done, failed, PureSaga, unknown } from "../../../../../tests/engine/pure-saga.ts";
import { saga as build } from "../definition/builder.ts";
import type { SagaDefinition } from "../definition/definition.ts";
import type { SagaEvent } from "../saga/events.ts";
import { findStep } from "../saga/state.ts";
import type { ReplyRequest, UndeliveredNotice } from "./reply.ts";
import { answer } from "./requests.ts";
import { settle } from "./settle.ts";

const by = { actor: "ann", reason: "ticket" };
const lost = { name: "E", message: "?", kind: "ambiguous" } as const;
const asking = { topic: "inventory-commands", payload: () => null, undo: () => null };

const order = build("order", { strategy: "FAIL_FAST" })
  .command("reserve", { ...asking, replyTimeoutMs: 1_000, retry: { jitter: "none" } })
  .step("charge", { after: ["reserve"], do: () => 1 })
  .build();

type Sent = Omit<ReplyRequest, "kind" | "step" | "round"> & { readonly round?: number };

const toReply = (sent: Sent): ReplyRequest => ({ kind: "reply", step: "reserve", round: 0, ...sent });

/** A saga whose participant has been asked; the events follow that. */
function asked(...events: readonly SagaEvent[]): PureSaga {
  const saga = new PureSaga(order);
  saga.turn();
  saga.end("reserve", done());
  return saga.apply(...events);
}

const goBack: readonly SagaEvent[] = [
  { type: "cancel_requested", data: by },
  { type: "step_maybe_done", step: "reserve", data: { error: lost } },
  { type: "compensation_started", data: { cause: { kind: "cancel", ...by } } },
];
const askUndo: SagaEvent = { type: "command_sent", step: "reserve", data: { direction: "undo", attempt: 1 } };
const undone: SagaEvent = { type: "step_compensated", step: "reserve", data: {} };
const undoFailed: readonly SagaEvent[] = [
  { type: "compensation_failed", step: "reserve", data: { error: lost, policy: "park" } },
  { type: "saga_parked", data: { reason: "compensation_failed", step: "reserve" } },
];

/** The events that a reply comes to, with what matters of their data. */
const comesTo = (saga: PureSaga, sent: Sent) => answer(saga.view, toReply(sent));

describe("a reply to what was asked for", () => {
  test.each<[string, Sent, readonly object[]]>([
    [
      "done: the step has its result",
      { direction: "do", outcome: "done", result: 5 },
      [{ type: "step_done", data: { result: 5 } }],
    ],
    [
      "failed: the business says no, with its code and details",
      {
        direction: "do",
        outcome: "failed",
        error: { message: "sold out", code: "SOLD_OUT", details: { left: 0 } },
      },
      [
        {
          type: "step_failed",
          data: {
            error: { message: "sold out", kind: "business", code: "SOLD_OUT", details: { left: 0 } },
          },
        },
      ],
    ],
    [
      "refused: an error, but as certain as a failure",
      { direction: "do", outcome: "refused" },
      [
        {
          type: "step_failed",
          data: { error: { message: 'the participant answered "refused"', kind: "error" } },
        },
      ],
    ],
  ])("%s", (_, sent, events) => {
    expect(comesTo(asked(), sent)).toMatchObject(events);
  });

  test("unknown: the participant is asked again with the same round, and a late second answer of that kind changes nothing", () => {
    const saga = asked();
    saga.ask(toReply({ direction: "do", outcome: "unknown" }));
    expect(saga.types.at(-1)).toBe("attempts_noted");
    expect(comesTo(saga, { direction: "do", outcome: "unknown" })).toEqual([]);
    saga.now += 60_000;
    saga.turn();
    expect(saga.task("reserve")).toMatchObject({ kind: "prepare", attempt: 2, round: 0 });
  });

  test("unknown: who takes the saga over does not wait for what was answered, and decides anew what that means", () => {
    const saga = asked();
    saga.apply(...answer(saga.view, toReply({ direction: "do", outcome: "unknown" })));
    const next = saga.takenOver();
    next.turn();
    expect(next.task("reserve")).toMatchObject({ kind: "prepare", attempt: 2, round: 0 });
    const unasked = asked().takenOver();
    expect(unasked.turn()).toMatchObject({ waitingFor: "reply" });
  });

  test("unknown, of an undo: it is asked for again, also by who takes the saga over", () => {
    const saga = asked(...goBack, askUndo);
    saga.apply(...answer(saga.view, toReply({ direction: "undo", outcome: "unknown" })));
    const next = saga.takenOver();
    next.turn();
    expect(next.task("undo reserve")).toMatchObject({ attempt: 2, round: 0 });
  });

  test("unusable: it was done, so it is not asked for again but undone", () => {
    const saga = asked();
    saga.ask(toReply({ direction: "do", outcome: "unusable" }));
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });
});

describe("a reply that comes when its step's outcome is known", () => {
  test.each<[string, readonly SagaEvent[], Sent, readonly object[]]>([
    [
      "done once more",
      [{ type: "step_done", step: "reserve", data: {} }],
      { direction: "do", outcome: "done" },
      [],
    ],
    [
      "failed, when another answer had said done",
      [{ type: "step_done", step: "reserve", data: {} }],
      { direction: "do", outcome: "failed" },
      [],
    ],
    [
      "refused, because its undo came first",
      [...goBack, askUndo],
      { direction: "do", outcome: "refused" },
      [],
    ],
    ["unknown, when it is undone already", [...goBack, undone], { direction: "do", outcome: "unknown" }, []],
    [
      "done, before the undo was asked for: that has its result to go by",
      goBack,
      { direction: "do", outcome: "done", result: 5 },
      [{ type: "step_done", data: { result: 5 } }],
    ],
    [
      "done, after the undo was asked for: it is undone once more",
      [...goBack, askUndo],
      { direction: "do", outcome: "done", result: 5 },
      [{ type: "late_effect", data: { result: 5 } }],
    ],
    [
      "unusable, after it was undone: an effect all the same",
      [...goBack, undone],
      { direction: "do", outcome: "unusable" },
      [{ type: "late_effect", data: {} }],
    ],
    [
      "done, after somebody else said that it was refused",
      [{ type: "step_failed", step: "reserve", data: { error: lost } }],
      { direction: "do", outcome: "done" },
      [{ type: "late_effect", data: {} }],
    ],
  ])("%s", (_, before, sent, events) => {
    expect(comesTo(asked(...before), sent)).toMatchObject(events);
  });
});

describe("a reply to an undo", () => {
  test.each<[string, readonly SagaEvent[], Sent, readonly object[]]>([
    [
      "done, with what came of it",
      [askUndo],
      { direction: "undo", outcome: "done", result: 7 },
      [{ type: "step_compensated", data: { result: 7 } }],
    ],
    [
      "unusable: only what it returned is of no use",
      [askUndo],
      { direction: "undo", outcome: "unusable" },
      [{ type: "step_compensated", data: {} }],
    ],
    [
      "failed: a person has to look",
      [askUndo],
      { direction: "undo", outcome: "failed", error: { message: "the parcel is gone" } },
      [{ type: "compensation_failed" }, { type: "saga_parked", data: { detail: "the parcel is gone" } }],
    ],
    [
      "refused: a person has to look",
      [askUndo],
      { direction: "undo", outcome: "refused" },
      [{ type: "compensation_failed" }, { type: "saga_parked" }],
    ],
    ["done once more", [undone], { direction: "undo", outcome: "done" }, []],
    ["failed, when another answer had said done", [undone], { direction: "undo", outcome: "failed" }, []],
    ["unknown, when nobody waits for it any more", undoFailed, { direction: "undo", outcome: "unknown" }, []],
    [
      "done, when the saga was parked because no answer came: the person is not needed any more",
      undoFailed,
      { direction: "undo", outcome: "done" },
      [{ type: "step_compensated" }],
    ],
  ])("%s", (_, before, sent, events) => {
    expect(comesTo(asked(...goBack, ...before), sent)).toMatchObject(events);
  });

  test("unknown: it is asked for again", () => {
    const saga = asked(...goBack, askUndo);
    saga.turn();
    saga.ask(toReply({ direction: "undo", outcome: "unknown" }));
    saga.now += 60_000;
    saga.turn();
    expect(saga.task("undo reserve")).toMatchObject({ attempt: 2, round: 0 });
  });

  test("one that comes between two times of asking counts", () => {
    const saga = asked(...goBack, askUndo);
    saga.ask(toReply({ direction: "undo", outcome: "unknown" }));
    saga.ask(toReply({ direction: "undo", outcome: "done" }));
    expect(saga.state.status).toBe("compensated");
  });
});

describe("rounds", () => {
  const again: readonly SagaEvent[] = [
    { type: "step_failed", step: "pay", data: { error: { ...lost, kind: "business" } } },
    { type: "saga_parked", data: { reason: "step_failed_after_pivot", step: "pay" } },
    { type: "retry_requested", data: by },
    { type: "command_sent", step: "pay", data: { direction: "do", attempt: 1 } },
  ];

  test("what answers an older round means nothing any more, what answers one to come is for nobody", () => {
    const definition = build("rounds")
      .pivot("sign", { do: () => 1 })
      .command("pay", { topic: "t", payload: () => null })
      .build();
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("sign", done());
    saga.apply(...again);
    const reply = { kind: "reply", step: "pay", direction: "do", outcome: "done" } as const;
    expect(answer(saga.view, { ...reply, round: 0 })).toEqual([]);
    expect(answer(saga.view, { ...reply, round: 1 })).toMatchObject([{ type: "step_done" }]);
    expect(() => answer(saga.view, { ...reply, round: 2 })).toThrow(unknownReply);
  });

  test("a late effect begins a new round of undo, which an answer to the first does not end", () => {
    const late: SagaEvent = { type: "late_effect", step: "reserve", data: { result: 1 } };
    const saga = asked(...goBack, askUndo, undone, late, askUndo);
    expect(comesTo(saga, { direction: "undo", outcome: "done" })).toEqual([]);
    expect(comesTo(saga, { direction: "undo", outcome: "done", round: 1 })).toMatchObject([
      { type: "step_compensated" },
    ]);
  });
});

const unknownReply = expect.objectContaining({ code: "SAGAZ_UNKNOWN_REPLY" }) as unknown;

describe("a reply for what nobody asked is refused", () => {
  test.each<[string, () => PureSaga, ReplyRequest]>([
    [
      "of a step that is no command",
      asked,
      { ...toReply({ direction: "do", outcome: "done" }), step: "charge" },
    ],
    [
      "of a step that does not exist",
      asked,
      { ...toReply({ direction: "do", outcome: "done" }), step: "nope" },
    ],
    ["before it was asked", () => new PureSaga(order), toReply({ direction: "do", outcome: "done" })],
    [
      "to an action that waits for its first message",
      () =>
        new PureSaga(order).apply({
          type: "retry_scheduled",
          step: "reserve",
          data: { at: 9_000, error: lost },
        }),
      toReply({ direction: "do", outcome: "done" }),
    ],
    ["to an undo, on the way forward", asked, toReply({ direction: "undo", outcome: "done" })],
    [
      "to an undo that is still to be asked for",
      () => asked(...goBack),
      toReply({ direction: "undo", outcome: "done" }),
    ],
  ])("%s", (_, saga, reply) => {
    expect(() => answer(saga().view, reply)).toThrow(unknownReply);
  });

  test("what was asked, and then fell silent, was asked all the same", () => {
    const saga = asked();
    saga.now += 60_000;
    saga.turn();
    expect(saga.inFlight).toEqual([]);
    expect(comesTo(saga, { direction: "do", outcome: "done" })).toMatchObject([{ type: "step_done" }]);
  });
});

describe("a message that was given up", () => {
  const notice: UndeliveredNotice = {
    kind: "undelivered",
    step: "reserve",
    direction: "do",
    round: 0,
    attempt: 1,
    error: { message: "no such topic", code: "SAGAZ_UNKNOWN_TOPIC" },
  };
  const error = { name: "Undelivered", kind: "ambiguous", ...notice.error };

  test("leaves the outcome unknown: it is asked again, and, once its attempts are used up, undone", () => {
    const saga = asked();
    for (let attempt = 1; attempt <= 3; attempt++) {
      saga.ask({ ...notice, attempt });
      saga.now += 60_000;
      saga.turn();
      if (attempt < 3) saga.end("reserve", done());
    }
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(findStep(saga.state, "reserve")?.error).toEqual(error);
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });

  test("that asked for an undo, counts as an attempt of it", () => {
    const saga = asked(...goBack, askUndo);
    saga.ask({ ...notice, direction: "undo" });
    saga.now += 60_000;
    saga.turn();
    expect(saga.task("undo reserve")).toMatchObject({ attempt: 2, round: 0 });
    expect(answer(saga.view, { ...notice, direction: "undo" })).toEqual([]);
  });

  test.each<[string, readonly SagaEvent[], Partial<UndeliveredNotice>]>([
    ["of another attempt", [], { attempt: 2 }],
    ["of another round", [], { round: 1 }],
    ["of the other direction", [], { direction: "undo" }],
    ["of a step that is no command", [], { step: "charge" }],
    ["of a step that is done", [{ type: "step_done", step: "reserve", data: {} }], {}],
    ["of a step that is undone", [...goBack, askUndo, undone], {}],
  ])("means nothing: %s", (_, events, fields) => {
    expect(answer(asked(...events).view, { ...notice, ...fields })).toEqual([]);
  });
});

describe("silence", () => {
  const patient = build("patient", { strategy: "FAIL_FAST" })
    .command("reserve", { ...asking, waitMs: 1_000 })
    .step("charge", { after: ["reserve"], do: () => 1 })
    .build();

  test("on an undo that nobody asks for again parks the saga, and a person's retry asks with the same round", () => {
    const saga = new PureSaga(patient);
    saga.turn();
    saga.end("reserve", done());
    saga.ask(toReply({ direction: "do", outcome: "done" }));
    saga.end("charge", failed());
    saga.end("undo reserve", done());
    expect(saga.turn()).toMatchObject({ waitingFor: "reply", wakeAt: saga.now + 1_000 });
    saga.now += 1_000;
    saga.turn();
    expect(saga.state).toMatchObject({ status: "parked", parked: { reason: "reply_timeout" } });
    saga.ask({ kind: "retry", ...by });
    expect(saga.task("undo reserve")).toMatchObject({ attempt: 1, round: 0 });
    saga.end("undo reserve", done());
    saga.ask(toReply({ direction: "undo", outcome: "done" }));
    expect(saga.state.status).toBe("compensated");
  });

  test("on an action that nobody asks for again parks the saga, and after a retry it may still have been done", () => {
    const saga = new PureSaga(patient);
    saga.turn();
    saga.end("reserve", done());
    saga.now += 1_000;
    saga.turn();
    expect(saga.state).toMatchObject({ status: "parked", parked: { reason: "reply_timeout" } });
    saga.ask({ kind: "retry", ...by });
    expect(saga.task("reserve")).toMatchObject({ kind: "prepare", round: 0 });
    expect(findStep(saga.state, "reserve")?.tries.unknown).toBe(true);
    saga.live.tasks.clear();
    saga.ask({ kind: "cancel", ...by });
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });

  test("a paused saga waits on, past the time", () => {
    const saga = asked(...goBack, askUndo);
    saga.apply({ type: "saga_paused", data: by });
    saga.now += 60_000;
    expect(saga.turn()).toMatchObject({ waitingFor: "operator", wakeAt: undefined });
    expect(saga.inFlight).toEqual([]);
    saga.ask({ kind: "resume", ...by });
    expect(saga.turn().wakeAt).toBeGreaterThan(saga.now);
  });

  test("on an undo uses up its attempts, and then a person has to look", () => {
    const saga = asked(...goBack, askUndo);
    const { maxAttempts } = order.graph.commands[0]!.undoRetry;
    for (let attempt = 2; attempt <= maxAttempts; attempt++) {
      saga.now += 1_000;
      saga.turn();
      saga.now += 60_000;
      saga.turn();
      expect(saga.task("undo reserve").attempt).toBe(attempt);
      saga.end("undo reserve", done());
    }
    saga.now += 1_000;
    saga.turn();
    expect(saga.state.parked).toMatchObject({ reason: "compensation_failed", step: "reserve" });
  });
});

describe("what `verify` says was not done", () => {
  const verify = () => ({ outcome: "not_done" }) as const;
  const once = { retry: { maxAttempts: 1 } };
  const notDone = done({ outcome: "not_done" });
  const silent = { topic: "t", payload: () => null, replyTimeoutMs: 1_000, verify, ...once };

  /** The saga whose only command got no reply, and whose `verify` was asked. */
  function verified(definition: SagaDefinition, ...before: readonly SagaEvent[]): PureSaga {
    const saga = new PureSaga(definition).apply(...before);
    saga.turn();
    saga.end("ask", done());
    saga.now += 1_000;
    saga.turn();
    expect(saga.task("ask").kind).toBe("verify");
    saga.end("ask", notDone);
    return saga;
  }

  test("is not undone while a saga goes back; but a command may still be on its way, so its undo forbids it", () => {
    const definition = build("both", { strategy: "FAIL_FAST" })
      .step("act", { do: () => 1, undo: () => {}, verify, ...once })
      .command("reserve", { ...asking, verify })
      .step("bad", { do: () => 1 })
      .build();
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("reserve", done());
    saga.apply(...settle(saga.view, saga.task("act"), unknown()));
    saga.live.tasks.delete("act");
    saga.end("bad", failed());
    expect(saga.inFlight.map((key) => saga.task(key).kind)).toEqual(["verify", "verify"]);
    saga.end("act", notDone);
    saga.end("reserve", notDone);
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(findStep(saga.state, "act")?.status ?? "pending").toBe("pending");
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });

  test("of a command for which nobody asks any more, sends the saga back, and is undone", () => {
    const saga = verified(
      build("forbidden")
        .command("ask", { ...silent, undo: () => null })
        .build(),
    );
    expect(saga.types).not.toContain("step_failed(ask)");
    expect(saga.inFlight).toEqual(["undo ask"]);
  });

  test("of a command for which there is another attempt, is asked for again", () => {
    const saga = verified(
      build("again")
        .command("ask", { ...silent, retry: { jitter: "none" } })
        .build(),
    );
    saga.now += 60_000;
    saga.turn();
    expect(saga.task("ask")).toMatchObject({ kind: "prepare", attempt: 2, round: 0 });
  });

  test("of a pivot that nobody can forbid, waits for a person, or for the reply", () => {
    const saga = verified(build("pivot").pivot("ask", silent).build());
    expect(saga.state).toMatchObject({ status: "parked", parked: { reason: "pivot_unknown", step: "ask" } });
    saga.ask({ kind: "reply", step: "ask", direction: "do", round: 0, outcome: "done" });
    expect(saga.state.status).toBe("completed");
  });

  test("of a command after the pivot, waits for a person: it is asked for in a new round", () => {
    const definition = build("after")
      .pivot("pay", { do: () => 1 })
      .command("ask", { after: ["pay"], ...silent })
      .build();
    const paid: readonly SagaEvent[] = [
      { type: "pivot_started", step: "pay", data: {} },
      { type: "step_done", step: "pay", data: {} },
    ];
    const saga = verified(definition, ...paid);
    expect(saga.state).toMatchObject({ status: "parked", parked: { reason: "step_failed_after_pivot" } });
    saga.ask({ kind: "retry", ...by });
    expect(saga.task("ask")).toMatchObject({ kind: "prepare", round: 1 });
  });
});

describe("while a saga goes back", () => {
  const parks = { ...asking, onUnknown: "park", retry: { jitter: "none" } } as const;

  /** A saga that is parked because nobody knows whether its command was done, and that somebody wants to go back. */
  function parkedAndCancelled(definition: SagaDefinition): PureSaga {
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("reserve", done());
    saga.ask(toReply({ direction: "do", outcome: "unknown" }));
    if (saga.inFlight.length > 0) saga.end("reserve", done({ outcome: "unknown" }));
    expect(saga.state.parked).toMatchObject({ reason: "outcome_unknown", step: "reserve" });
    saga.ask({ kind: "cancel", ...by });
    expect(saga.state).toMatchObject({ status: "parked", direction: "forward" });
    saga.ask({ kind: "retry", ...by });
    return saga;
  }

  test("a person's retry of a command that nobody knows about sends its undo, which forbids what is still on its way", () => {
    const saga = parkedAndCancelled(build("a", { strategy: "FAIL_FAST" }).command("reserve", parks).build());
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });

  test("a person's retry of a command without an undo lets the saga go back", () => {
    const { undo: _, ...plain } = parks;
    const saga = parkedAndCancelled(build("b", { strategy: "FAIL_FAST" }).command("reserve", plain).build());
    expect(saga.state.status).toBe("compensated");
  });

  test("a person's retry asks `verify` first; what was not done so far may still be, and is forbidden by its undo", () => {
    const verify = () => ({ outcome: "unknown" }) as const;
    const definition = build("c", { strategy: "FAIL_FAST" })
      .command("reserve", { ...parks, verify })
      .build();
    const saga = parkedAndCancelled(definition);
    expect(saga.task("reserve").kind).toBe("verify");
    saga.end("reserve", done({ outcome: "not_done" }));
    expect(saga.types).toContain("step_maybe_done(reserve)");
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });

  test("a person's retry of an action whose undo cannot cope with not knowing parks it again: it is to be resolved", () => {
    const definition = build("d", { strategy: "FAIL_FAST" })
      .step("reserve", { do: () => 1, undo: () => {}, onUnknown: "park", retry: { maxAttempts: 1 } })
      .build();
    const saga = new PureSaga(definition);
    saga.turn();
    saga.end("reserve", unknown());
    saga.ask({ kind: "cancel", ...by });
    saga.ask({ kind: "retry", ...by });
    expect(saga.state.parked).toMatchObject({ reason: "outcome_unknown", step: "reserve" });
  });

  test("a command of which a person has to say whether it was done, is not taken for maybe done", () => {
    const parks = build("parks", { strategy: "FAIL_FAST" })
      .command("reserve", { ...asking, onUnknown: "park" })
      .build();
    const saga = new PureSaga(parks);
    saga.turn();
    saga.end("reserve", done());
    saga.ask(toReply({ direction: "do", outcome: "unknown" }));
    expect(saga.state.parked).toMatchObject({ reason: "outcome_unknown", step: "reserve" });
    saga.ask({ kind: "cancel", ...by });
    saga.now += 60_000;
    saga.turn();
    expect(saga.state).toMatchObject({ status: "parked", direction: "forward" });
    saga.ask({ kind: "resolve", step: "reserve", outcome: "done", result: 5, ...by });
    expect(saga.inFlight).toEqual(["undo reserve"]);
  });
});
