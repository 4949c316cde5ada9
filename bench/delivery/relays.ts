import type { TestDatabase } from "../../tools/servers/postgres-databases.ts";
import type { Bench, Candidate, RunningBroker } from "./bench.ts";
import { batchSize } from "./plan.ts";
import { timeRelay } from "./relay-part.ts";
import type { RelayCalls, Target } from "./relaying.ts";

/** One thing to be timed in each round. */
interface Turn {
  readonly what: string;
  readonly take: () => Promise<void>;
}

const noop: Target = { kind: "noop" };

/**
 * Relays and brokers' clients, one after the other in each round, so that a machine that slows down slows everyone;
 * in an order that is another one every round.
 */
export async function measureRelays(bench: Bench): Promise<void> {
  const { plan, sagaz, graphile } = bench;
  const wants = (part: string) => plan.parts.includes(part);
  if (!wants("noop") && !wants("history") && bench.brokers.length === 0) return;
  for (const candidate of [sagaz, graphile]) await warmUp(bench, candidate);
  for (const broker of bench.brokers) await warmUpBroker(bench, broker);
  const aged = wants("history") ? await age(bench) : undefined;
  const turns = turnsOf(bench, aged);
  for (let round = 0; round < plan.rounds; round += 1) {
    for (const { what, take } of inOrder(turns, round)) {
      bench.progress(`round ${round + 1}/${plan.rounds}: ${what}`);
      await take();
    }
  }
  await aged?.drop();
}

/**
 * Begins elsewhere in each round, and goes the other way in every second one: what a turn leaves behind, pages that the
 * system has yet to write, say, is not to meet the same one each time.
 */
function inOrder(turns: readonly Turn[], round: number): readonly Turn[] {
  const step = round % 2 === 0 ? 1 : -1;
  return turns.flatMap((_, n) => turns.at((round + step * n) % turns.length) ?? []);
}

function turnsOf(bench: Bench, aged: TestDatabase | undefined): Turn[] {
  const { plan, sagaz, graphile, brokers } = bench;
  return [
    relayTurn(bench, sagaz, noop),
    ...(plan.parts.includes("noop") ? [relayTurn(bench, graphile, noop)] : []),
    ...(aged ? [agedTurn(bench, aged)] : []),
    ...brokers.flatMap((broker) => brokerTurns(bench, broker)),
  ];
}

/** A process that has run nothing yet is slow for seconds: nobody is measured in that time. */
async function warmUp(
  { plan, server, progress }: Bench,
  { description, host, template }: Candidate<RelayCalls>,
): Promise<void> {
  progress(`warming up ${description.name}`);
  const database = await server.postgres.createDatabase({ name: "compile", template });
  await host.call("fill", database.url, plan.warmBacklog);
  await host.call("relay", { url: database.url, target: noop, events: plan.warmBacklog });
  await database.drop();
}

/** So is a broker's. */
async function warmUpBroker({ plan, sagaz, progress }: Bench, broker: RunningBroker): Promise<void> {
  const { name, server, empty } = broker;
  progress(`warming up ${name}`);
  const task = { broker: name, url: server.url, messages: plan.aloneMessages, through: "adapter" } as const;
  await sagaz.host.call("publishAlone", task);
  await empty(server.url);
}

/** A database with a long history in it, the same for all rounds. */
async function age({ plan, server, sagaz, progress }: Bench): Promise<TestDatabase> {
  const { kept, churned } = plan.history;
  progress(`writing a history of ${kept} events`);
  const database = await server.postgres.createDatabase({ name: "aged", template: sagaz.template });
  const { url } = database;
  const send = async (events: number) => {
    await sagaz.host.call("fill", url, events);
    await sagaz.host.call("relay", { url, target: noop, events });
  };
  await send(plan.warmBacklog);
  await sagaz.host.call("keepHistory", url, kept);
  for (let sent = 0; sent < churned; sent += plan.backlog) {
    progress(`sending ${churned} events after that: ${sent}`);
    await send(plan.backlog);
  }
  return database;
}

function agedTurn(bench: Bench, { url }: TestDatabase): Turn {
  const { sagaz: candidate } = bench;
  return {
    what: "sagaz to noop, after a history",
    take: () => timeRelay(bench, { candidate, system: "sagaz-aged", target: noop, url }),
  };
}

function relayTurn(bench: Bench, candidate: Candidate<RelayCalls>, target: Target): Turn {
  const { name: system } = candidate.description;
  const { server } = bench;
  return {
    what: `${system} to ${target.kind === "noop" ? "noop" : target.name}`,
    async take() {
      const database = await server.postgres.createDatabase({ name: "relay", template: candidate.template });
      await timeRelay(bench, { candidate, system, target, url: database.url });
      await database.drop();
    },
  };
}

/** Our relay, a peer's where it has a task for that broker, and clients without a relay. */
function brokerTurns(bench: Bench, broker: RunningBroker): Turn[] {
  const { sagaz, graphile } = bench;
  const { name, peer } = broker;
  const target: Target = { kind: "broker", name, url: broker.server.url };
  const turns = [
    relayTurn(bench, sagaz, target),
    ...(peer ? [relayTurn(bench, graphile, target)] : []),
    aloneTurn(bench, broker, "adapter"),
    aloneTurn(bench, broker, "driver"),
  ];
  return turns.map(({ what, take }) => ({
    what,
    async take() {
      await take();
      await broker.empty(broker.server.url);
    },
  }));
}

function aloneTurn(bench: Bench, { name, server }: RunningBroker, through: "adapter" | "driver"): Turn {
  const { sagaz, plan, samples } = bench;
  return {
    what: `the ${through} for ${name} alone`,
    async take() {
      const task = { broker: name, url: server.url, messages: plan.aloneMessages, through };
      const value = await sagaz.host.call("publishAlone", task);
      samples.add(
        { measure: `alone_${name}_per_s`, inFlight: batchSize, system: through, unit: "1/s" },
        value,
      );
    },
  };
}
