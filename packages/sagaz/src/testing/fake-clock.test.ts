import { describe, expect, test } from "vitest";
import { FakeClock } from "./fake-clock.ts";

describe("time", () => {
  test("stands still until it is moved", async () => {
    const clock = new FakeClock({ startAt: 1_000 });
    expect([clock.now(), clock.monotonic()]).toEqual([1_000, 0]);
    await clock.settle();
    await clock.advance(250);
    expect([clock.now(), clock.monotonic()]).toEqual([1_250, 250]);
  });

  test("the wall clock can be turned; timers and the monotonic clock do not notice", async () => {
    const clock = new FakeClock();
    const fired: number[] = [];
    clock.setTimer(100, () => fired.push(clock.monotonic()));
    clock.setNow(5);
    expect([clock.now(), clock.monotonic()]).toEqual([5, 0]);
    await clock.advance(100);
    expect(fired).toEqual([100]);
    expect(clock.now()).toBe(105);
  });

  test.each([-1, Number.NaN])("advance(%s) is refused", async (ms) => {
    await expect(new FakeClock().advance(ms)).rejects.toThrow(RangeError);
  });
});

describe("timers", () => {
  test("fire in the order of their times, then of their setting, each at its own time", async () => {
    const clock = new FakeClock({ startAt: 0 });
    const fired: string[] = [];
    const set = (name: string, ms: number) => clock.setTimer(ms, () => fired.push(`${name}@${clock.now()}`));
    set("c", 30);
    set("a", 10);
    set("b1", 20);
    set("b2", 20);
    set("never", 41);
    await clock.advance(40);
    expect(fired).toEqual(["a@10", "b1@20", "b2@20", "c@30"]);
    expect(clock.now()).toBe(40);
    expect(clock.timersWaiting).toBe(1);
  });

  test("set on the way fire on the way", async () => {
    const clock = new FakeClock({ startAt: 0 });
    const fired: number[] = [];
    const again = () => {
      fired.push(clock.now());
      clock.setTimer(10, again);
    };
    again();
    await clock.advance(35);
    expect(fired).toEqual([0, 10, 20, 30]);
  });

  test("cancelled ones do not fire, and cancelling twice or late is harmless", async () => {
    const clock = new FakeClock();
    const fired: string[] = [];
    const [first, second, third] = ["first", "second", "third"].map((name) =>
      clock.setTimer(5, () => fired.push(name)),
    );
    second!.cancel();
    second!.cancel();
    expect(clock.timersWaiting).toBe(2);
    await clock.advance(5);
    first!.cancel();
    third!.cancel();
    expect(fired).toEqual(["first", "third"]);
  });

  test("promise chains run to their end between two timers", async () => {
    const clock = new FakeClock();
    const log: string[] = [];
    clock.setTimer(10, () => {
      void (async () => {
        for (let hop = 0; hop < 100; hop++) await Promise.resolve();
        log.push("chain of the first");
        clock.setTimer(0, () => log.push("set by the chain"));
      })();
    });
    clock.setTimer(11, () => log.push("second"));
    await clock.advance(20);
    expect(log).toEqual(["chain of the first", "set by the chain", "second"]);
  });

  test("a promise chain that runs before time moves may set timers", async () => {
    const clock = new FakeClock();
    let fired = false;
    void Promise.resolve().then(() => clock.setTimer(10, () => (fired = true)));
    await clock.advance(10);
    expect(fired).toBe(true);
  });

  test("a delay below 0 is 0, one with a fraction is rounded up, and none is NaN", async () => {
    const clock = new FakeClock({ startAt: 0 });
    const fired: number[] = [];
    clock.setTimer(-5, () => fired.push(clock.now()));
    clock.setTimer(0.1, () => fired.push(clock.now()));
    await clock.advance(1);
    expect(fired).toEqual([0, 1]);
    expect(() => clock.setTimer(Number.NaN, () => {})).toThrow(RangeError);
  });

  test("that are set for this instant for ever are found out", async () => {
    const clock = new FakeClock();
    const again = () => void clock.setTimer(0, again);
    again();
    await expect(clock.advance(1)).rejects.toThrow("fired at one instant");
  });

  test("what a timer throws comes out, and the clock goes on", async () => {
    const clock = new FakeClock({ startAt: 0 });
    clock.setTimer(5, () => {
      throw new Error("in the timer");
    });
    await expect(clock.advance(10)).rejects.toThrow("in the timer");
    await clock.advance(10);
    expect(clock.now()).toBe(15);
  });
});

describe("runUntil", () => {
  test("stops at the first instant at which the probe is true", async () => {
    const clock = new FakeClock();
    let count = 0;
    const tick = () => {
      count++;
      clock.setTimer(1_000, tick);
    };
    clock.setTimer(1_000, tick);
    expect(await clock.runUntil(() => count === 3)).toBe(3_000);
    expect(await clock.runUntil(() => true)).toBe(0);
  });

  test("gives up after its limit, or when nothing is left to happen", async () => {
    const clock = new FakeClock();
    clock.setTimer(200, () => {});
    await expect(clock.runUntil(() => false, { limitMs: 100 })).rejects.toThrow(
      "after 100 ms; 1 timers wait",
    );
    await expect(clock.runUntil(() => false)).rejects.toThrow("no timer is left");
  });
});

describe("views", () => {
  test("show another wall time and share the timers' order", async () => {
    const clock = new FakeClock({ startAt: 10_000 });
    const ahead = clock.view({ offsetMs: 3_600_000 });
    const fired: string[] = [];
    ahead.setTimer(20, () => fired.push("ahead"));
    clock.setTimer(10, () => fired.push("clock"));
    expect(ahead.now()).toBe(3_610_000);
    await clock.advance(20);
    expect(fired).toEqual(["clock", "ahead"]);
    expect([ahead.now(), ahead.monotonic()]).toEqual([3_610_020, 20]);
    clock.setNow(0);
    expect(ahead.now()).toBe(3_600_000);
  });

  test("run at their own rate from when they were made", async () => {
    const clock = new FakeClock({ startAt: 0 });
    await clock.advance(1_000);
    const fast = clock.view({ rate: 2 });
    const fired: number[] = [];
    fast.setTimer(100, () => fired.push(clock.now()));
    await clock.advance(100);
    expect(fired).toEqual([1_050]);
    expect([fast.now(), fast.monotonic()]).toEqual([1_200, 1_200]);
    expect(() => clock.view({ rate: 0 })).toThrow(RangeError);
  });

  test("never see a timer of theirs fire early", async () => {
    const clock = new FakeClock();
    const slow = clock.view({ rate: 0.7 });
    let elapsed = 0;
    slow.setTimer(100, () => (elapsed = slow.monotonic()));
    await clock.advance(200);
    expect(elapsed).toBeGreaterThanOrEqual(100);
  });
});
