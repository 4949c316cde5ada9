import { expect, test } from "vitest";
import { saga } from "./builder.ts";
import { toMermaid } from "./mermaid.ts";

const nothing = () => undefined;
const undoable = { do: nothing, undo: nothing };
const shipping = saga("shipping").step("post", { do: nothing }).build();

test("draws steps, dependencies and the order of undoing", () => {
  const definition = saga("order")
    .step("reserve", undoable)
    .step("charge", { ...undoable, after: ["reserve"] })
    .build();
  expect(toMermaid(definition)).toBe(
    `flowchart LR
  s0["reserve<br/>↩"]
  s1["charge<br/>↩"]
  s0 --> s1
  s1 -. undo .-> s0
`,
  );
});

test("shows kinds, and the zones around the pivot", () => {
  const definition = saga("order")
    .step("reserve", undoable)
    .map("seats", { after: ["reserve"], over: () => [], do: nothing })
    .signal("approval", { after: ["seats"], signal: "ok" })
    .sleep("mail", { forMs: 5 })
    .pivot("pay", { after: ["approval"], do: nothing })
    .sleep("later", { after: ["pay"], forMs: () => 5 })
    .child("ship", { after: ["later"], saga: shipping, input: nothing })
    .build();
  expect(toMermaid(definition)).toBe(
    `flowchart LR
  subgraph before ["before the pivot"]
    s0["reserve<br/>↩"]
    s1[["seats<br/>for each item"]]
    s2(["approval<br/>waits for ok"])
  end
  s4{{"pay<br/>pivot"}}
  subgraph after ["after the pivot"]
    s5(["later<br/>sleeps"])
    s6[/"ship<br/>saga shipping"/]
  end
  subgraph beside ["beside the pivot"]
    s3(["mail<br/>sleeps 5 ms"])
  end
  s0 --> s1
  s1 --> s2
  s2 --> s4
  s4 --> s5
  s5 --> s6
`,
  );
});

test("leaves out empty zones", () => {
  expect(toMermaid(saga("order").pivot("pay", { do: nothing }).build())).toBe(
    'flowchart LR\n  s0{{"pay<br/>pivot"}}\n',
  );
});

test("colours the steps of a running saga; pending ones stay plain", () => {
  const definition = saga("order")
    .step("a", { do: nothing })
    .step("b", { do: nothing })
    .step("c", { do: nothing })
    .step("d", { do: nothing })
    .build();
  const lines = toMermaid(definition, { states: { a: "done", b: "done", c: "pending" } }).split("\n");
  expect(lines.filter((line) => line.includes("class"))).toEqual([
    "  classDef done fill:#dcfce7,stroke:#16a34a,color:#14532d",
    "  class s0,s1 done",
  ]);
});

test("lets no name break out of its label", () => {
  const definition = saga("order").step("end", { do: nothing }).build();
  const [step] = definition.steps;
  const foreign = { ...definition, steps: [{ ...step!, name: 'a"]<b>#1' }] };
  expect(toMermaid(foreign)).toContain('s0["a#quot;]#lt;b#gt;#35;1"]');
  expect(toMermaid(definition)).toContain('s0["end"]');
});
