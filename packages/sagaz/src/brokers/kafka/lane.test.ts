import { expect, test } from "vitest";
import { Lane } from "./lane.ts";
import { unavailable } from "./error-codes.ts";
import { toOutgoing } from "./outgoing.ts";
import { PublishCall } from "./publish-call.ts";

const identity = { producerId: 7n, epoch: 0 };
const roomy = 1_000_000;
const accepted = { errorCode: 0, recordErrors: [] };
const trouble = unavailable("no answer");

function load(lane: Lane, keys: readonly string[], until = Infinity): PublishCall {
  const call = new PublishCall(keys.length, until);
  keys.forEach((key, at) =>
    lane.push(toOutgoing({ topic: "t", key, headers: {}, payload: String(at) }, { at, call })),
  );
  return call;
}

async function codesOf(call: PublishCall): Promise<readonly (string | undefined)[]> {
  return (await call.answered).map((answer) => answer?.code);
}

function textsOf(lane: Lane, bytesMax = roomy): readonly string[] | undefined {
  return lane.next(identity, bytesMax)?.messages.map(({ at }) => String(at));
}

test("a batch without an answer goes again as it is, whatever came meanwhile", async () => {
  const lane = new Lane("t", 0);
  const first = load(lane, ["a", "b"]);
  const batch = lane.next(identity, roomy);
  const second = load(lane, ["a"]);
  lane.fail(trouble, true);
  expect(lane.next(identity, roomy)).toBe(batch);
  lane.settle(accepted);
  expect(await codesOf(first)).toEqual([undefined, undefined]);
  expect(lane.next(identity, roomy)).toMatchObject({ identity, sequence: 2 });
  lane.settle(accepted);
  expect(await codesOf(second)).toEqual([undefined]);
});

test("the rest after trouble grows, and is over with the next success", () => {
  const lane = new Lane("t", 0);
  const rests = [1, 2, 3, 4, 5, 6].map(() => {
    lane.fail(trouble);
    return lane.restMs;
  });
  expect(rests).toEqual([50, 100, 200, 400, 500, 500]);
  load(lane, ["a"]);
  lane.next(identity, roomy);
  lane.settle(accepted);
  lane.fail(trouble);
  expect(lane.restMs).toBe(50);
});

test("after a batch that was given up in doubt, numbers begin again in a new epoch", async () => {
  const lane = new Lane("t", 0);
  load(lane, ["a"]);
  lane.next(identity, roomy);
  lane.settle(accepted);
  const lost = load(lane, ["a", "b"], 10);
  expect(lane.next(identity, roomy)).toMatchObject({ sequence: 1 });
  lane.fail(trouble, true);
  expect(lane.expire(11)).toBe(true);
  expect(await codesOf(lost)).toEqual(["SAGAZ_BROKER_UNAVAILABLE", "SAGAZ_BROKER_UNAVAILABLE"]);
  load(lane, ["a", "b"]);
  expect(lane.next(identity, roomy)).toMatchObject({ sequence: 0, identity: { producerId: 7n, epoch: 1 } });
});

test("after a batch that was given up and surely not accepted, numbers go on", () => {
  const lane = new Lane("t", 0);
  load(lane, ["a"]);
  lane.next(identity, roomy);
  lane.settle(accepted);
  load(lane, ["a"], 10);
  lane.next(identity, roomy);
  lane.settle({ errorCode: 6, recordErrors: [] });
  lane.expire(11);
  load(lane, ["a"]);
  expect(lane.next(identity, roomy)).toMatchObject({ sequence: 1, identity });
});

test("of a call that was given up nothing follows, and other calls go on", async () => {
  const lane = new Lane("t", 0);
  const old = load(lane, ["a", "a", "b"], 10);
  const young = load(lane, ["a", "b"], 100);
  lane.next(identity, 80); // room for one
  lane.fail(trouble, true);
  lane.expire(11);
  expect(await codesOf(old)).toEqual([
    "SAGAZ_BROKER_UNAVAILABLE",
    "SAGAZ_BROKER_HELD_BACK",
    "SAGAZ_BROKER_UNAVAILABLE",
  ]);
  expect(textsOf(lane)).toEqual(["0", "1"]);
  lane.settle(accepted);
  expect(await codesOf(young)).toEqual([undefined, undefined]);
});

test.each([45, 47, 49, 59])(
  "when the broker has forgotten us (%s), the same messages go with new numbers",
  async (errorCode) => {
    const lane = new Lane("t", 0);
    load(lane, ["a"]);
    lane.next(identity, roomy);
    lane.settle(accepted);
    const call = load(lane, ["a", "b"]);
    lane.next(identity, roomy);
    expect(lane.settle({ errorCode, recordErrors: [] })).toBe(true);
    expect(lane.restMs).toBeGreaterThan(0);
    expect(lane.next(identity, roomy)).toMatchObject({ sequence: 0, identity: { epoch: 1 } });
    lane.settle(accepted);
    expect(await codesOf(call)).toEqual([undefined, undefined]);
  },
);

test("an identity whose epochs are used up is replaced", () => {
  const lane = new Lane("t", 0);
  load(lane, ["a"]);
  lane.next({ producerId: 7n, epoch: 32_767 }, roomy);
  expect(lane.settle({ errorCode: 45, recordErrors: [] })).toBe(false);
  expect(lane.next({ producerId: 8n, epoch: 0 }, roomy)).toMatchObject({
    sequence: 0,
    identity: { producerId: 8n, epoch: 0 },
  });
});

test("a batch that the broker knows already is accepted", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a"]);
  lane.next(identity, roomy);
  lane.settle({ errorCode: 46, recordErrors: [] });
  expect(await codesOf(call)).toEqual([undefined]);
});

test("bad messages are refused, what follows them in their key is held back, and the others go", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a", "b", "a", "c"]);
  lane.next(identity, roomy);
  lane.settle({ errorCode: 87, recordErrors: [{ batchIndex: 0, batchIndexErrorMessage: "no such schema" }] });
  expect(textsOf(lane)).toEqual(["1", "3"]);
  lane.settle(accepted);
  const answers = await call.answered;
  expect(answers[0]?.message).toContain("no such schema");
  expect(await codesOf(call)).toEqual([
    "SAGAZ_MESSAGE_REFUSED",
    undefined,
    "SAGAZ_BROKER_HELD_BACK",
    undefined,
  ]);
});

test("if the broker does not say which are bad, all are", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a", "b"]);
  lane.next(identity, roomy);
  lane.settle({ errorCode: 32, errorMessage: "the time is wrong", recordErrors: [] });
  expect(await codesOf(call)).toEqual(["SAGAZ_MESSAGE_REFUSED", "SAGAZ_MESSAGE_REFUSED"]);
  expect(lane.isEmpty).toBe(true);
});

test("a message that is too large is refused with its size; several go in smaller batches", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a", "b"]);
  lane.next(identity, roomy);
  expect(lane.settle({ errorCode: 10, recordErrors: [] })).toBe(true);
  const batch = lane.next(identity, 1); // a batch has one message at least
  expect(batch?.messages.map(({ at }) => at)).toEqual([0]);
  lane.settle({ errorCode: 18, errorMessage: "at most 5", recordErrors: [] });
  lane.next(identity, 1);
  lane.settle({ errorCode: 10, recordErrors: [] });
  const [first, second] = await call.answered;
  expect(first?.message).toContain(`its ${batch?.bytes} bytes are too many. at most 5`);
  expect(second?.code).toBe("SAGAZ_MESSAGE_REFUSED");
  expect(lane.isEmpty).toBe(true);
});

test("there is no batch when all that waits follows what was refused", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a", "a"]);
  lane.next(identity, 1);
  lane.settle({ errorCode: 87, recordErrors: [] });
  expect(lane.next(identity, 1)).toBeUndefined();
  expect(lane.isEmpty).toBe(true);
  expect(await codesOf(call)).toEqual(["SAGAZ_MESSAGE_REFUSED", "SAGAZ_BROKER_HELD_BACK"]);
});

test("an answer for a batch that was given up changes nothing but the end of the rest", async () => {
  const lane = new Lane("t", 0);
  const call = load(lane, ["a"], 10);
  lane.next(identity, roomy);
  lane.fail(trouble);
  lane.expire(11);
  expect(lane.settle(accepted)).toBe(true);
  expect(lane.restMs).toBe(0);
  expect(await codesOf(call)).toEqual(["SAGAZ_BROKER_UNAVAILABLE"]);
  load(lane, ["b"]);
  expect(lane.next(identity, roomy)).toMatchObject({ sequence: 0, identity });
});

test.each([7, 20])(
  "a batch of which the broker is not sure (%s) is in doubt when it is given up",
  (errorCode) => {
    const lane = new Lane("t", 0);
    load(lane, ["a"], 10);
    const batch = lane.next(identity, roomy);
    expect(lane.settle({ errorCode, recordErrors: [] })).toBe(true);
    expect(lane.expire(9)).toBe(true);
    expect(lane.next(identity, roomy)).toBe(batch);
    expect(lane.expire(11)).toBe(true);
    load(lane, ["a"]);
    expect(lane.next(identity, roomy)).toMatchObject({ sequence: 0, identity: { epoch: 1 } });
  },
);
