import type { Machine } from "./machine.ts";
import type { Ratio } from "./ratio.ts";
import type { Row } from "./samples.ts";

/** Everything a run has to say; with `--json` it is printed as it is. */
export interface Report {
  readonly benchmark: string;
  readonly plan: "full" | "quick";
  /** Day of the run, UTC. */
  readonly date: string;
  readonly seconds: number;
  readonly machine: Machine;
  readonly systems: readonly { readonly name: string; readonly tuning: string }[];
  /** What the numbers beside the measures are numbers of. */
  readonly legend: string;
  readonly rows: readonly Row[];
  /** One number for each name. */
  readonly ratios: Readonly<Record<string, number>>;
  readonly cautions: readonly string[];
}

/** A finished run. */
export interface Finished {
  readonly report: Report;
  readonly ratios: readonly Ratio[];
}

/** Completes a report by what is the same for all: the day, and one number for each figure. */
export function finish(report: Omit<Report, "date" | "ratios">, ratios: readonly Ratio[]): Finished {
  return {
    report: {
      ...report,
      date: new Date().toISOString().slice(0, 10),
      ratios: Object.fromEntries(ratios.map(({ name, value }) => [name, value])),
    },
    ratios,
  };
}

/** The report as a section of Markdown, readable in a terminal too: figures to reach, then every row. */
export function toMarkdown({ report, ratios }: Finished): string {
  const sections = [
    heading(report),
    ...(ratios.length === 0 ? [] : [toTable(["figure", "value", "floor", ""], ratios.map(toRatioCells))]),
    ...report.cautions.map((caution) => `**${caution}**`),
    `Median (min–max) over the rounds; ${report.legend}`,
    toTable(["measure", "in flight", ...systemsOf(report.rows)], toCells(report.rows)),
    report.systems.map(({ name, tuning }) => `- **${name}**: ${tuning}`).join("\n"),
  ];
  return `${sections.join("\n\n")}\n`;
}

function heading({ benchmark, plan, date, seconds, machine }: Report): string {
  const { cores, cpu, memoryGiB, os, node, postgresql, postgresqlSettings } = machine;
  const settings = Object.entries(postgresqlSettings).map(([name, value]) => `${name} ${value}`);
  return [
    `## ${benchmark}`,
    `${date}, ${plan} run of ${seconds} s. ${cores} cores (${cpu}), ${memoryGiB} GiB, ${os}, Node ${node}, ` +
      `PostgreSQL ${postgresql} (fsync and synchronous_commit on, ${settings.join(", ")}).`,
  ].join("\n\n");
}

function toRatioCells({ name, value, floor, isReached }: Ratio): string[] {
  return [name, String(value), floor, isReached ? "reached" : "NOT REACHED"];
}

function systemsOf(rows: readonly Row[]): string[] {
  return [...new Set(rows.map(({ system }) => system))];
}

function toCells(rows: readonly Row[]): string[][] {
  const systems = systemsOf(rows);
  const lines = new Map<string, Row[]>();
  for (const row of rows) {
    const key = `${row.measure}\n${row.inFlight}`;
    lines.set(key, [...(lines.get(key) ?? []), row]);
  }
  return [...lines.values()].map((line) => {
    const { measure, unit, inFlight } = line[0] as Row;
    const cells = systems.map((name) => toCell(line.find(({ system }) => system === name)));
    return [unit === "" ? measure : `${measure} (${unit})`, String(inFlight), ...cells];
  });
}

function toCell(row: Row | undefined): string {
  if (row === undefined) return "";
  return row.rounds === 1 ? String(row.median) : `${row.median} (${row.min}–${row.max})`;
}

function toTable(head: readonly string[], body: readonly (readonly string[])[]): string {
  const widths = head.map((cell, column) =>
    Math.max(cell.length, ...body.map((line) => line[column]?.length ?? 0), 3),
  );
  const toLine = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [toLine(head), toLine(widths.map((width) => "-".repeat(width))), ...body.map(toLine)].join("\n");
}
