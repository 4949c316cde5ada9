import { fork, type ChildProcess } from "node:child_process";
import type { Callable, Request, Response } from "./answer-calls.ts";

/** What runs in the process: a file that ends in `answerCalls`, which finds the name in its first argument. */
export interface Hosting {
  readonly name: string;
  readonly file: string;
}

/** No call takes this long on a machine that works; a system that hangs must not hang the bench. */
const callMsMax = 600_000;

/** A system in a process of its own: its CPU, memory and garbage are nobody else's, and it can be killed. */
export class Hosted<Calls extends Callable<Calls>> {
  readonly name: string;
  readonly #hosting: Hosting;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #exited: Promise<void>;
  #calls = 0;

  constructor(hosting: Hosting) {
    const { name, file } = hosting;
    this.name = name;
    this.#hosting = hosting;
    const tsx = ["--import", import.meta.resolve("tsx")];
    // Its standard output is ours to talk on: what peers print there goes to the standard error.
    this.#child = fork(file, [name], { execArgv: tsx, stdio: ["ignore", 2, 2, "ipc"] });
    this.#child.on("message", (response: Response) => this.#settle(response));
    this.#exited = new Promise((resolve) => {
      this.#child.once("exit", (status, signal) => {
        this.#failAll(new Error(`The process of ${name} ended (${signal ?? status}).`));
        resolve();
      });
    });
  }

  /**
   * Asks the process something and waits for the answer.
   *
   * @throws Error when the call fails there, the process ends, or ten minutes have passed.
   */
  async call<K extends keyof Calls & string>(
    call: K,
    ...args: Parameters<Calls[K]>
  ): Promise<Awaited<ReturnType<Calls[K]>>> {
    this.#calls += 1;
    const request: Request = { id: this.#calls, call, args };
    const answer = new Promise<unknown>((resolve, reject) =>
      this.#waiting.set(request.id, { resolve, reject }),
    );
    const timer = setTimeout(() => {
      this.#reject(request.id, new Error(`${this.name} did not answer ${call} within ${callMsMax} ms.`));
    }, callMsMax);
    this.#child.send(request, (error) => error && this.#reject(request.id, error));
    try {
      return (await answer) as Awaited<ReturnType<Calls[K]>>;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Another process for the same. */
  again(): Hosted<Calls> {
    return new Hosted(this.#hosting);
  }

  /** kill -9, and waits until the process is gone. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#exited;
  }

  #settle(response: Response): void {
    if ("error" in response) return this.#reject(response.id, new Error(`${this.name}: ${response.error}`));
    this.#waiting.get(response.id)?.resolve(response.value);
    this.#waiting.delete(response.id);
  }

  #reject(id: number, error: Error): void {
    this.#waiting.get(id)?.reject(error);
    this.#waiting.delete(id);
  }

  #failAll(error: Error): void {
    for (const id of this.#waiting.keys()) this.#reject(id, error);
  }
}
