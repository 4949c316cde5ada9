import { answerCalls } from "../answer-calls.ts";
import { drive, newOrder, type Load, type LoadResult } from "./load.ts";
import type { Description, Session, SessionOptions } from "./system.ts";
import { importSystem } from "./systems.ts";
import { recordStepsIn } from "./work.ts";

/** What the bench can ask of a process that runs one system. */
export interface HostCalls {
  describe(): Promise<Description>;
  install(url: string): Promise<void>;
  fillHistory(url: string, sagas: number): Promise<void>;
  open(options: SessionOptions): Promise<void>;
  drive(load: Load): Promise<LoadResult>;
  /** Appends a line to `file` for every action that begins from now on. */
  recordSteps(file: string): Promise<void>;
  /** Starts sagas whose second step takes `chargeMs`, and does not wait for them. */
  begin(sagas: number, chargeMs: number): Promise<void>;
  close(): Promise<void>;
}

const system = await importSystem(process.argv[2] ?? "");
let session: Session | undefined;

function current(): Session {
  if (session === undefined) throw new Error("No session is open.");
  return session;
}

const calls: HostCalls = {
  async describe() {
    // Functions do not travel between processes; what JSON leaves of a system is its description.
    return JSON.parse(JSON.stringify(system)) as Description;
  },
  install: (url) => system.install(url),
  async fillHistory(url, sagas) {
    if (system.fillHistory === undefined) throw new Error(`${system.name} has no history to fill.`);
    await system.fillHistory(url, sagas);
  },
  async open(options) {
    session = await system.open(options);
  },
  drive: (load) => drive(current(), load),
  async recordSteps(file) {
    recordStepsIn(file);
  },
  async begin(sagas, chargeMs) {
    for (let n = 0; n < sagas; n += 1) void current().run(newOrder({ chargeMs }));
  },
  async close() {
    await current().close();
    session = undefined;
  },
};

answerCalls(calls);
