import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Registry } from "prom-client";

/** What the endpoints tell. */
export interface Subject {
  readonly registry: Registry;
  /** Tells whether events get out. */
  health(): Promise<{ readonly isUp: boolean; readonly detail?: string }>;
}

/** A server that listens. */
export interface Endpoints {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves `/health/live`, `/health/ready` and `/metrics`. */
export async function serveEndpoints(
  subject: Subject,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<Endpoints> {
  const server = createServer((request, response) => {
    const path = request.url?.split("?")[0] ?? "";
    const isRead = request.method === "GET" || request.method === "HEAD";
    answer(subject, isRead ? path : "", response).catch((error: unknown) => {
      reply(response, 500, { status: "failed", detail: String(error) });
    });
  });
  await listen(server, host, port);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(subject: Subject, path: string, response: ServerResponse): Promise<void> {
  switch (path) {
    case "/health/live":
      return reply(response, 200, { status: "up" });
    case "/health/ready": {
      const { isUp, detail } = await subject.health();
      return reply(response, isUp ? 200 : 503, { status: isUp ? "up" : "down", detail });
    }
    case "/metrics": {
      const metrics = await subject.registry.metrics();
      response.writeHead(200, { "content-type": subject.registry.contentType }).end(metrics);
      return;
    }
    default:
      reply(response, 404, { status: "not found", detail: "GET /health/live, /health/ready or /metrics" });
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  if (response.headersSent) return;
  response.writeHead(status, { "content-type": "application/json" }).end(`${JSON.stringify(body)}\n`);
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
}
