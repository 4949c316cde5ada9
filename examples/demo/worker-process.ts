import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A worker in a process of its own, so that it can be killed. */
export class WorkerProcess implements AsyncDisposable {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Answers when the worker has registered and takes sagas. */
  static async start(url: string): Promise<WorkerProcess> {
    const child = fork(fileURLToPath(new URL("worker.ts", import.meta.url)), {
      env: { ...process.env, DATABASE_URL: url },
    });
    const answer = await Promise.race([once(child, "message"), once(child, "exit")]);
    if (answer[0] !== "ready") throw new Error(`the worker ended before it was ready (${String(answer[0])})`);
    return new WorkerProcess(child);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** `kill -9`: no handler runs, nothing is handed over. */
  kill(): Promise<void> {
    return this.#end("SIGKILL");
  }

  /** Lets it finish its attempts and hand the rest back. */
  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }

  async #end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill(signal);
    await gone;
  }
}
