import type { Live, View } from "../core/decide/view.ts";
import type { SagaDefinition } from "../core/definition/definition.ts";
import type { SagaState } from "../core/saga/state.ts";
import type { Log } from "../ports/log.ts";
import type { AttemptScope } from "./attempt.ts";
import type { ReplyAddresses } from "./command-event.ts";
import type { RunnerHost } from "./runner-host.ts";

/**
 * What the core and the attempts see of a saga in memory: one object for all decisions, looked at anew for each. A
 * decision is over when its call returns, so nobody sees the time change.
 */
export class RunnerView implements View, AttemptScope {
  readonly definition: SagaDefinition;
  readonly state: SagaState;
  readonly live: Live;
  now = 0;
  readonly #host: RunnerHost;

  constructor(parts: { definition: SagaDefinition; state: SagaState; live: Live; host: RunnerHost }) {
    this.definition = parts.definition;
    this.state = parts.state;
    this.live = parts.live;
    this.#host = parts.host;
  }

  get luck(): number {
    return this.#host.luck();
  }
  get payloadBytesMax(): number {
    return this.#host.payloadBytesMax;
  }

  get replyTo(): ReplyAddresses {
    return this.#host.replyTo;
  }
  get log(): Log {
    return this.#host.log;
  }
  newId(): string {
    return this.#host.newId();
  }

  /** As it is now. */
  look(): this {
    this.now = this.#host.now();
    return this;
  }
}
