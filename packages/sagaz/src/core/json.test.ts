import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson, keepJson, utf8Bytes } from "./json.ts";

const codeOf = (value: unknown) => {
  try {
    keepJson(value, { what: "it", bytesMax: 1_000_000 });
    return "fine";
  } catch (error) {
    return (error as { details: { why: string; path: string } }).details;
  }
};

describe("what JSON would change", () => {
  test("what passes survives JSON unchanged; what does not is refused", () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true }),
        (value) => {
          if (codeOf(value) !== "fine") return;
          const text = JSON.stringify(value) as string | undefined;
          const back: unknown = text === undefined ? undefined : JSON.parse(text);
          expect(canonicalJson(back)).toBe(canonicalJson(value));
        },
      ),
      { numRuns: 500 },
    );
  });

  test("names the first place that would change", () => {
    expect(codeOf({ a: [1, { b: new Date(0) }] })).toMatchObject({ path: "$.a[1].b" });
    expect(codeOf({ a: undefined, b: [] })).toBe("fine");
    expect(codeOf(Object.create(null))).toBe("fine");
    expect(codeOf(undefined)).toBe("fine");
  });

  test("an object of a class without a name is refused too", () => {
    const nameless: unknown = Object.create({ constructor: { name: "" } });
    expect(codeOf(nameless)).toMatchObject({
      why: expect.stringContaining("object of a class") as string,
    });
    expect(codeOf(Object.create({ constructor: 1, other: {} }, {}))).not.toBe("fine");
  });

  test("depth has a limit, well before the stack ends", () => {
    const nested = (depth: number): unknown => (depth === 0 ? 1 : [nested(depth - 1)]);
    expect(codeOf(nested(200))).toBe("fine");
    expect(codeOf(nested(201))).toMatchObject({ why: "it is nested deeper than 200" });
  });

  test("a circle is shown by a place on it", () => {
    const inner: Record<string, unknown> = {};
    const outer = { list: [1, inner] };
    inner["back"] = outer;
    const flaw = codeOf({ outer }) as { why: string; path: string };
    expect(flaw.why).toBe("it contains itself");
    expect(flaw.path).toBe("$.outer.list[1]");
  });

  test("the same object in two places is no circle", () => {
    const one = { a: 1 };
    expect(codeOf([one, one])).toBe("fine");
  });
});

describe("keepJson", () => {
  const keep = (value: unknown, bytesMax = 1_000_000) => keepJson(value, { what: "it", bytesMax });
  const codesOf = (value: unknown, bytesMax: number) => {
    try {
      keep(value, bytesMax);
      return "kept";
    } catch (error) {
      return (error as { code: string }).code;
    }
  };

  test("a value is kept as its text gives it back", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(keep(value)).toStrictEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
    for (const value of [
      -0,
      [-0],
      { a: undefined, b: [{ c: undefined }] },
      "\ud800",
      JSON.parse('{"__proto__":{"a":1}}'),
    ])
      expect(keep(value)).toStrictEqual(JSON.parse(JSON.stringify(value)));
    expect(Object.is(keep(-0), 0)).toBe(true);
    expect(keep(undefined)).toBeUndefined();
  });

  test("what is kept is nobody else's, and cannot be changed", () => {
    const value = { list: [{ a: 1 }] };
    const kept = keep(value) as typeof value;
    value.list.push({ a: 2 });
    expect(kept).toEqual({ list: [{ a: 1 }] });
    expect(() => kept.list.push({ a: 3 })).toThrow(TypeError);
    expect(Object.isFrozen(kept.list[0])).toBe(true);
  });

  test("the limit is that of the text's bytes, whatever the characters", () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ noUnicodeString: false }),
        fc.integer({ min: -2, max: 2 }),
        (value, more) => {
          const bytes = Buffer.byteLength(JSON.stringify(value));
          expect(codesOf(value, bytes + more)).toBe(more < 0 ? "SAGAZ_PAYLOAD_TOO_LARGE" : "kept");
        },
      ),
    );
  });

  test("what JSON would change is refused", () => {
    const unfit = [
      new Date(0),
      [Number.NaN],
      [undefined],
      () => 1,
      1n,
      Symbol("s"),
      { a: [1, { b: new Map() }] },
    ];
    for (const value of unfit) expect(codesOf(value, 1_000)).toBe("SAGAZ_NOT_JSON");
    expect(codesOf(Object.assign([1], { toJSON: () => 2 }), 1_000)).toBe("SAGAZ_NOT_JSON");
  });

  test("a list of a class becomes a plain one, whatever its constructor and methods do", () => {
    class Rows extends Array<number> {
      constructor(result: { readonly items: readonly number[] }) {
        super(...result.items);
      }
      override map(): never {
        throw new Error("not ours to call");
      }
    }
    const kept = keep(new Rows({ items: [1, 2] }));
    expect(kept).toStrictEqual([1, 2]);
    expect(Object.getPrototypeOf(kept)).toBe(Array.prototype);
  });

  test("each property is read once: what was checked is what is kept", () => {
    let reads = 0;
    const fickle = {
      get a() {
        return reads++ === 0 ? 1 : () => 2;
      },
    };
    expect(keep(fickle)).toEqual({ a: 1 });
    const always = {
      get a() {
        return reads++ % 2 === 0 ? 1n : 1;
      },
    };
    reads = 0;
    expect(() => keep(always)).toThrow(expect.objectContaining({ code: "SAGAZ_NOT_JSON" }) as Error);
  });

  test("names that every object has are as good as others", () => {
    const named = JSON.parse('{"constructor":1,"toString":2,"__proto__":3}') as object;
    expect(JSON.stringify(keep(named))).toBe(JSON.stringify(named));
  });

  test("a value beyond the limit costs no more than the limit", () => {
    let value: unknown = "x";
    for (let level = 0; level < 100; level++) value = [value, value]; // 2^100 texts, were they written
    expect(codesOf(value, 1_000_000)).toBe("SAGAZ_PAYLOAD_TOO_LARGE");
  });

  test("what the user's own code throws while it is read comes through", () => {
    const angry = {
      get a(): never {
        throw new RangeError("angry");
      },
    };
    expect(() => keep(angry)).toThrow(RangeError);
  });
});

describe("canonicalJson", () => {
  test("is the same for the same value, whatever the order of its keys", () => {
    const shuffled = (value: unknown): unknown => {
      if (Array.isArray(value)) return value.map(shuffled);
      if (typeof value !== "object" || value === null) return value;
      return Object.fromEntries(
        Object.entries(value)
          .toReversed()
          .map(([key, one]) => [key, shuffled(one)]),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(shuffled(value))).toBe(canonicalJson(value));
      }),
    );
  });

  test("is JSON for the same value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test("sorts by UTF-16 code units, drops undefined members, and spells holes as null", () => {
    expect(canonicalJson({ b: 1, a: undefined, é: 2, A: 3 })).toBe('{"A":3,"b":1,"é":2}');
    expect(canonicalJson([undefined, 1])).toBe("[null,1]");
    expect(canonicalJson(undefined)).toBe("null");
  });
});

test("utf8Bytes counts as the encoder does", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
    }),
  );
  for (const text of ["", "a", "é", "€", "😀", "\ud800", "a\udc00b"])
    expect(utf8Bytes(text)).toBe(Buffer.byteLength(text));
});
