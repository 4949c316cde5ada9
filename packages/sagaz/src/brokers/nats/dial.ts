import { AsyncLocalStorage } from "node:async_hooks";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";

/** Sockets of a call that is under way. */
interface Dialling {
  sockets: Set<Socket> | undefined;
}

const channel = "net.client.socket";
const context = new AsyncLocalStorage<Dialling>();
let underWay = 0;

function onSocket(message: unknown): void {
  context.getStore()?.sockets?.add((message as { readonly socket: Socket }).socket);
}

/**
 * Opens a connection, and leaves no socket behind where that fails. The driver (3.4) forgets one whose server takes the connection
 * and then says nothing, as a frozen one does: every new try would leave another, and each keeps the process alive.
 *
 * The driver does not tell its sockets; Node tells of each that is made, and whose call it was. Not of those that begin with
 * TLS, `handshakeFirst`. Nothing is watched but while a call is under way.
 */
export async function dial<Connection>(connect: () => Promise<Connection>): Promise<Connection> {
  const own: Dialling = { sockets: new Set() };
  if ((underWay += 1) === 1) subscribe(channel, onSocket);
  try {
    return await context.run(own, connect);
  } catch (error) {
    for (const socket of own.sockets ?? []) socket.destroy();
    throw error;
  } finally {
    own.sockets = undefined; // what the connection calls later has this context too
    if ((underWay -= 1) === 0) {
      unsubscribe(channel, onSocket);
      context.disable();
    }
  }
}
