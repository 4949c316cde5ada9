import { toShown } from "../delivery/url-topic.ts";
import type { StepStatus } from "../saga/status.ts";
import { CompensationGraph } from "./compensation-graph.ts";
import type { SagaDefinition, StepDefinition } from "./definition.ts";
import { lookup } from "./lookup.ts";

/** What a diagram may show besides the graph. */
export interface MermaidOptions {
  /** Where each step stands, by step name; colours the diagram of a running saga. */
  readonly states?: Readonly<Record<string, StepStatus>>;
}

/** Opening and closing of a Mermaid shape: what a step is shows in its outline. */
const SHAPES: Readonly<Record<StepDefinition["kind"], readonly [string, string]>> = {
  action: ["[", "]"],
  command: ["[(", ")]"],
  map: ["[[", "]]"],
  signal: ["([", "])"],
  sleep: ["([", "])"],
  child: ["[/", "/]"],
};
const PIVOT_SHAPE = ["{{", "}}"] as const;

const COLOURS: Readonly<Partial<Record<StepStatus, string>>> = {
  running: "fill:#dbeafe,stroke:#2563eb,color:#1e3a8a",
  done: "fill:#dcfce7,stroke:#16a34a,color:#14532d",
  failed: "fill:#fee2e2,stroke:#dc2626,color:#7f1d1d",
  maybe_done: "fill:#fef9c3,stroke:#ca8a04,color:#713f12",
  skipped: "fill:#f3f4f6,stroke:#9ca3af,color:#374151,stroke-dasharray:4",
  compensating: "fill:#ffedd5,stroke:#ea580c,color:#7c2d12",
  compensated: "fill:#f3e8ff,stroke:#9333ea,color:#581c87",
  compensation_failed: "fill:#dc2626,stroke:#7f1d1d,color:#ffffff",
};

/**
 * Draws a definition as a Mermaid flowchart: dependencies as arrows, the order of undoing as dotted ones, and, if there
 * is a pivot, what lies before and after the point of no return.
 */
export function toMermaid(definition: SagaDefinition, { states = {} }: MermaidOptions = {}): string {
  const ids = new Map(definition.steps.map(({ name }, i) => [name, `s${i}`]));
  const id = (name: string) => lookup(ids, name);
  const line = (step: StepDefinition) => `${id(step.name)}${toShape(step)}`;
  const arrows = definition.steps.flatMap(({ name, dependsOn }) =>
    dependsOn.map((before) => `  ${id(before)} --> ${id(name)}`),
  );
  const undos = new CompensationGraph(definition).edges.map(
    ({ from, to }) => `  ${id(from)} -. undo .-> ${id(to)}`,
  );
  return [
    "flowchart LR",
    ...zones(definition, line),
    ...arrows,
    ...undos,
    ...colours(definition, { states, id }),
    "",
  ].join("\n");
}

/** With a pivot: the steps before it, itself, those after it; and those that run beside it. */
function zones({ steps, pivot, graph }: SagaDefinition, line: (step: StepDefinition) => string): string[] {
  if (pivot === undefined) return steps.map((step) => `  ${line(step)}`);
  const before = graph.ancestors.get(pivot);
  const zone = (id: string, title: string, members: readonly StepDefinition[]) =>
    members.length === 0
      ? []
      : [`  subgraph ${id} ["${title}"]`, ...members.map((step) => `    ${line(step)}`), "  end"];
  const others = steps.filter(({ name }) => name !== pivot && !before?.has(name));
  return [
    ...zone(
      "before",
      "before the pivot",
      steps.filter(({ name }) => before?.has(name)),
    ),
    ...steps.filter(({ name }) => name === pivot).map((step) => `  ${line(step)}`),
    ...zone(
      "after",
      "after the pivot",
      others.filter(({ role }) => role === "retriable"),
    ),
    ...zone(
      "beside",
      "beside the pivot",
      others.filter(({ role }) => role !== "retriable"),
    ),
  ];
}

function toShape(step: StepDefinition): string {
  const [open, close] = step.role === "pivot" ? PIVOT_SHAPE : SHAPES[step.kind];
  const notes = [
    noteOf(step),
    step.role === "pivot" ? "pivot" : "",
    step.role === "compensatable" ? "↩" : "",
  ];
  return `${open}"${[step.name, ...notes.filter(Boolean)].map(escape).join("<br/>")}"${close}`;
}

function noteOf(step: StepDefinition): string {
  switch (step.kind) {
    case "action":
      return "";
    case "command":
      return `asks ${toShown(step.topic)}`;
    case "map":
      return "for each item";
    case "signal":
      return `waits for ${step.signal}`;
    case "sleep":
      return step.fixedMs === undefined ? "sleeps" : `sleeps ${step.fixedMs} ms`;
    case "child":
      return `saga ${step.child.name}`;
  }
}

/** Mermaid's own entities; `#` first, because it begins them. */
function escape(text: string): string {
  return text
    .replaceAll("#", "#35;")
    .replaceAll('"', "#quot;")
    .replaceAll("<", "#lt;")
    .replaceAll(">", "#gt;");
}

interface Colouring {
  readonly states: Readonly<Record<string, StepStatus>>;
  readonly id: (name: string) => string;
}

function colours({ steps }: SagaDefinition, { states, id }: Colouring): string[] {
  const members = new Map<StepStatus, string[]>();
  for (const { name } of steps) {
    const state = states[name];
    if (state) members.set(state, [...(members.get(state) ?? []), id(name)]);
  }
  return [...members].flatMap(([state, names]) => {
    const colour = COLOURS[state];
    return colour ? [`  classDef ${state} ${colour}`, `  class ${names.join(",")} ${state}`] : [];
  });
}
