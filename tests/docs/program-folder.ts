import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEmbeddedPostgres } from "sagaz/embedded";

const tsx = import.meta.resolve("tsx");

/** What a program printed, and how it ended. */
export interface ProgramEnd {
  readonly output: string;
  readonly status: number | null;
}

/** An empty folder in which programs run as a user's would, on the built library; embedded servers keep their data below it. */
export class ProgramFolder implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "sagaz-programs-"));

  constructor() {
    chmodSync(this.#folder, 0o755); // as root the server runs as another user, who has to get in
  }

  /** Runs a TypeScript file to its end. */
  async run(file: string): Promise<ProgramEnd> {
    const child = spawn(process.execPath, ["--import", tsx, file], {
      cwd: this.#folder,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined, NODE_ENV: undefined },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += String(text)));
    const status = await new Promise<number | null>((done) => child.on("close", done));
    return { output, status };
  }

  /** Stops the servers that a program has left running because it failed, and removes everything. */
  async [Symbol.asyncDispose](): Promise<void> {
    const data = join(this.#folder, ".sagaz");
    for (const name of existsSync(data) ? readdirSync(data) : []) {
      const server = await startEmbeddedPostgres({ dataDir: join(data, name) }); // joins it, if it is there
      await server.stop(); // the last user stops it
    }
    rmSync(this.#folder, { recursive: true });
  }
}
