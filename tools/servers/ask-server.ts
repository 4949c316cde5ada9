import { connect } from "node:net";

const askMsMax = 2_000;

/**
 * Connects to a port of 127.0.0.1, sends the request, and gives all that came back as soon as it
 * matches `answer`, or has that text in it.
 *
 * Undefined when nobody listens, when the server hangs up, or when 2 s have passed: a probe, not a client.
 */
export function askServer(
  port: number,
  request: string | Buffer,
  answer: RegExp | string,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let heard = "";
    const socket = connect({ port, host: "127.0.0.1" });
    const finish = (result?: string) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(askMsMax, finish);
    socket.once("error", () => finish());
    socket.once("close", () => finish());
    socket.on("data", (part) => {
      heard += part.toString("latin1");
      if (typeof answer === "string" ? heard.includes(answer) : answer.test(heard)) finish(heard);
    });
    socket.write(request);
  });
}
