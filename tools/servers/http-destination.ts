import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** A request as it came. */
export interface Posted {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

type Answer = (posted: Posted, response: ServerResponse) => unknown;

/** An answer with a status and, at most, a header and a text. */
export function answering(status: number, headers: Record<string, string> = {}, text = ""): Answer {
  return (_, response) => response.writeHead(status, headers).end(text);
}

/** A real HTTP server on 127.0.0.1, to which a test says what to answer. */
export class HttpDestination implements AsyncDisposable {
  /** What came, in its order. */
  readonly posted: Posted[] = [];
  answer: Answer;
  /** Requests that are answered at a time, at most, so far. */
  atOnceMost = 0;
  #atOnce = 0;
  #server: Server | undefined;
  #port = 0;

  constructor(answer: Answer = answering(202)) {
    this.answer = answer;
  }

  static async open(answer?: Answer): Promise<HttpDestination> {
    const destination = new HttpDestination(answer);
    await destination.start();
    return destination;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Begins to listen; after a stop on the same port. */
  async start(): Promise<void> {
    const take = async (request: IncomingMessage, response: ServerResponse) => {
      this.#atOnce += 1;
      this.atOnceMost = Math.max(this.atOnceMost, this.#atOnce);
      response.once("close", () => (this.#atOnce -= 1));
      const chunks: Uint8Array[] = [];
      for await (const chunk of request as AsyncIterable<Uint8Array>) chunks.push(chunk);
      const { url: path = "", headers } = request;
      const posted = { path, headers, body: Buffer.concat(chunks).toString() };
      this.posted.push(posted);
      await this.answer(posted, response);
    };
    // Who is cut off has nothing to answer.
    const server = createServer((request, response) => void take(request, response).catch(() => {}));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#server = server;
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Cuts off whoever is connected, and refuses everybody. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (!server) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
