/**
 * Every error a user can meet, in one table: its code, its sentence, and whether trying again can help.
 *
 * `{name}` in a sentence is filled from the error's details. Each code has a heading in `docs/reference/errors.md`
 * (what happened, why, what to do); a test holds both directions.
 */
export const ERRORS = {
  // Definitions: found when a definition is built, not when it runs.
  SAGAZ_EMPTY_SAGA: { retryable: false, sentence: 'saga "{saga}" has no steps. Add at least one action.' },
  SAGAZ_INVALID_NAME: {
    retryable: false,
    sentence:
      "the {what} name {name} is not usable: {why}. Use 1 to 200 characters out of a-z A-Z 0-9 _ - . :",
  },
  SAGAZ_DUPLICATE_STEP: {
    retryable: false,
    sentence: 'saga "{saga}" has two steps named "{step}". Rename one of them.',
  },
  SAGAZ_UNKNOWN_DEPENDENCY: {
    retryable: false,
    sentence: 'step "{step}" of "{saga}" depends on "{dependency}", which does not exist.{hint}',
  },
  SAGAZ_DEPENDENCY_CYCLE: {
    retryable: false,
    sentence:
      'the steps of "{saga}" wait for each other in a circle: {path}. Remove one of these dependencies.',
  },
  SAGAZ_UNKNOWN_COMPENSATION: {
    retryable: false,
    sentence: 'saga "{saga}" compensates "{step}", but has no action of that name.{hint}',
  },
  SAGAZ_DUPLICATE_COMPENSATION: {
    retryable: false,
    sentence: 'saga "{saga}" has two compensations for step "{step}". Keep one.',
  },
  SAGAZ_UNKNOWN_VERIFY: {
    retryable: false,
    sentence: 'saga "{saga}" verifies "{step}", but has no action of that name.{hint}',
  },
  SAGAZ_DUPLICATE_VERIFY: {
    retryable: false,
    sentence: 'saga "{saga}" has two ways to verify step "{step}". Keep one.',
  },
  SAGAZ_COMPENSATION_CYCLE: {
    retryable: false,
    sentence:
      'the compensations of "{saga}" wait for each other in a circle: {path}. Remove one of the "after" edges.',
  },
  SAGAZ_TWO_PIVOTS: {
    retryable: false,
    sentence:
      'saga "{saga}" has two pivots, "{first}" and "{second}". A saga has at most one point of no return.',
  },
  SAGAZ_MISPLACED_PIVOT: {
    retryable: false,
    sentence:
      'step "{step}" of "{saga}" can be undone but is not finished before the pivot "{pivot}". Let the pivot depend on it, or remove its compensation.',
  },
  SAGAZ_PIVOT_COMPENSATION: {
    retryable: false,
    sentence:
      'the pivot "{step}" of "{saga}" has a compensation. A pivot is the point of no return: remove one of the two.',
  },
  SAGAZ_UNKNOWN_UNDO_ORDER: {
    retryable: false,
    sentence:
      'the compensation of "{step}" of "{saga}" is to run after that of "{other}", which {why}.{hint}',
  },
  SAGAZ_MISUSED_DECORATOR: {
    retryable: false,
    sentence: '@{decorator}("{step}") cannot be used here: {why}.',
  },
  SAGAZ_INVALID_OPTION: { retryable: false, sentence: "{where}: {option} is {value}; {rule}.{hint}" },
  SAGAZ_NOT_A_DEFINITION: {
    retryable: false,
    sentence:
      "{value} is not a saga definition. Pass a Saga class, a ClassicSaga, or what saga(…).build() returned.",
  },

  // Registration and versions.
  SAGAZ_DEFINITION_CHANGED: {
    retryable: false,
    sentence:
      'version {version} of "{saga}" is known with graph {known}, but this process holds graph {held}. Raise the version, and keep the old one registered until its sagas have ended.',
  },
  SAGAZ_DUPLICATE_DEFINITION: {
    retryable: false,
    sentence:
      'two definitions are registered as "{saga}" version {version}. Remove one or raise its version.',
  },
  SAGAZ_UNKNOWN_SAGA: {
    retryable: false,
    sentence: 'no saga definition named "{saga}"{version} is registered here.{hint}',
  },

  // Starting.
  SAGAZ_INPUT_INVALID: {
    retryable: false,
    sentence: 'the input of "{saga}" does not fit its schema: {issues}',
  },
  SAGAZ_NOT_JSON: {
    retryable: false,
    sentence:
      "{what} cannot be stored as JSON: {why} at {path}. Return plain objects, arrays, strings, finite numbers, booleans or null.",
  },
  SAGAZ_PAYLOAD_TOO_LARGE: {
    retryable: false,
    sentence:
      "{what} has {bytes} bytes or more; the limit payloadBytesMax is {limit}. Store large data elsewhere and pass a reference.",
  },
  SAGAZ_IDEMPOTENCY_CONFLICT: {
    retryable: false,
    sentence:
      'the idempotency key "{key}" of "{saga}" was used before with a different input (saga {sagaId}). Use a new key for a new order.',
  },
  SAGAZ_START_IN_PROGRESS: {
    retryable: true,
    sentence:
      'another open transaction is starting "{saga}" with the idempotency key "{key}". Try again in a moment.',
  },
  SAGAZ_NOT_A_TRANSACTION: {
    retryable: false,
    sentence:
      "{adapter} was handed {value}: what is written through it would not belong to your transaction. {advice}.",
  },
  SAGAZ_INVALID_ID: { retryable: false, sentence: "{id} is not a saga id: {why}." },
  SAGAZ_CLOCK_SKEW: {
    retryable: false,
    sentence:
      "the saga id {id} carries a time {skewMs} ms away from the database clock; the limit idSkewMsMax is {limit}. Set this machine's clock.",
  },
  SAGAZ_NO_STORAGE: {
    retryable: false,
    sentence:
      "no storage is configured and NODE_ENV is production: sagas in memory would be lost with the process. Call configure({ storage }) or set SAGAZ_STORAGE_URL.",
  },
  SAGAZ_NOT_STARTED: { retryable: false, sentence: "the {what} is not started. Call start() first." },
  SAGAZ_STOPPED: { retryable: true, sentence: "the {what} was stopped before this could be done." },
  SAGAZ_TOO_BUSY: {
    retryable: true,
    sentence:
      "{waiting} writes are waiting to be recorded; the limit writesWaitingMax is {limit}. Slow down and try again.",
  },

  // Steps.
  SAGAZ_ATTEMPT_TIMEOUT: {
    retryable: false,
    sentence: '{what} "{step}" did not settle within timeoutMs = {timeoutMs}.',
  },
  SAGAZ_RESULT_INVALID: {
    retryable: false,
    sentence: 'the result of step "{step}" of "{saga}" does not fit its schema: {issues}',
  },
  SAGAZ_RESULT_UNKNOWN: {
    retryable: false,
    sentence:
      'the compensation of "{step}" read ctx.result, but nobody knows whether the action was done. Check ctx.outcome first, or undo by ctx.actionKey.',
  },
  SAGAZ_NOT_A_DEPENDENCY: {
    retryable: false,
    sentence:
      'step "{step}" reads the result of "{other}", on which it does not depend. Add it to dependsOn.',
  },
  SAGAZ_MAP_TOO_LONG: {
    retryable: false,
    sentence: 'map step "{step}" lists {length} items; the limit mapItemsMax is {limit}. Split the saga.',
  },
  SAGAZ_NOT_TRANSACTIONAL: {
    retryable: false,
    sentence:
      'step "{step}" reads ctx.tx but is not declared transactional. Declare it with { transactional: true }.',
  },

  // Requests to a running saga.
  SAGAZ_SAGA_NOT_FOUND: { retryable: false, sentence: "there is no saga {sagaId}." },
  SAGAZ_SAGA_ENDED: {
    retryable: false,
    sentence: "saga {sagaId} has ended as {status}; {request} is not possible any more.",
  },
  SAGAZ_PIVOT_PASSED: {
    retryable: false,
    sentence:
      'saga {sagaId} has passed its pivot "{pivot}" and can only go forward; it cannot be compensated.',
  },
  SAGAZ_NOT_PARKED: {
    retryable: false,
    sentence: "saga {sagaId} is {status}, not parked; {request} needs a parked saga.",
  },
  SAGAZ_STEP_NOT_BLOCKED: {
    retryable: false,
    sentence: 'step "{step}" of saga {sagaId} is {status}; {request} is possible only for {possible}.',
  },
  SAGAZ_STEP_NEEDED: {
    retryable: false,
    sentence:
      'step "{step}" cannot be skipped: {dependents} depend on its result. Use resolve(step, result, reason).',
  },
  SAGAZ_UNKNOWN_STEP: { retryable: false, sentence: 'saga "{saga}" has no step "{step}".{hint}' },
  SAGAZ_UNKNOWN_SIGNAL: {
    retryable: false,
    sentence: 'saga "{saga}" waits for no signal named "{signal}".{hint}',
  },
  SAGAZ_SIGNAL_INVALID: {
    retryable: false,
    sentence: 'the payload of signal "{signal}" does not fit its schema: {issues}',
  },
  SAGAZ_SIGNALS_FULL: {
    retryable: true,
    sentence: "saga {sagaId} holds {count} unconsumed signals; the limit signalsWaitingMax is {limit}.",
  },
  SAGAZ_UNKNOWN_REPLY: {
    retryable: false,
    sentence: 'saga {sagaId} takes no reply to {direction} of step "{step}", round {round}: {why}.',
  },
  SAGAZ_INVALID_REPLY: { retryable: false, sentence: "no reply: its {what} is {value}; {rule}." },
  SAGAZ_INVALID_COMMAND: { retryable: false, sentence: "no command: its {what} is {value}; {rule}." },
  SAGAZ_UNKNOWN_COMMAND: { retryable: false, sentence: 'it cannot {direction} "{command}".{hint}' },
  SAGAZ_UNDONE_BEFORE: { retryable: false, sentence: '"{participant}" was asked to undo {effect} before.' },
  SAGAZ_STALE_ROUND: {
    retryable: false,
    sentence: "round {round} of {effect} is over: {latest} was answered.",
  },
  SAGAZ_NOT_FORKABLE: { retryable: false, sentence: "saga {sagaId} cannot be forked: {why}." },
  SAGAZ_FORKED: {
    retryable: false,
    sentence: "saga {sagaId} was forked into {forkId}, which now owns its effects; {request} must go there.",
  },
  SAGAZ_REASON_REQUIRED: {
    retryable: false,
    sentence: "{request} needs a reason: it is written into the history of the saga.",
  },
  SAGAZ_REQUEST_PENDING: {
    retryable: true,
    sentence:
      "the request {request} for saga {sagaId} is stored but no worker has taken it yet. It will be carried out; ask again later.",
  },
  SAGAZ_RESULT_TIMEOUT: {
    retryable: true,
    sentence: "saga {sagaId} has not ended within {timeoutMs} ms; it goes on.",
  },
  SAGAZ_ABORTED: {
    retryable: true,
    sentence: "waiting for saga {sagaId} was aborted by the caller; the saga goes on.",
  },

  // Storage and ownership.
  SAGAZ_STORAGE_UNAVAILABLE: { retryable: true, sentence: "the storage cannot be reached: {message}" },
  SAGAZ_COMMIT_IN_DOUBT: {
    retryable: true,
    sentence:
      "the connection broke during a commit; the engine looks up whether it happened before it goes on: {message}",
  },
  SAGAZ_STORAGE_REFUSED: { retryable: false, sentence: "the storage refused a write: {message}" },
  SAGAZ_STORAGE_READ_ONLY: {
    retryable: true,
    sentence: "the storage is read-only: {message}. Point sagaz at the primary, or end the maintenance.",
  },
  SAGAZ_STORAGE_UNSAFE: {
    retryable: false,
    sentence:
      "the storage would lose sagas: {message}. Change its settings, or say that it may with mayLose: true.",
  },
  SAGAZ_SCHEMA_NEWER: {
    retryable: false,
    sentence:
      'the schema "{schema}" is at version {found}, newer than the {known} this library knows. Upgrade the library, or use another schema.',
  },
  SAGAZ_SCHEMA_MISSING: {
    retryable: false,
    sentence:
      'the schema "{schema}" is at version {found} and needs {needed}; migrations are off (migrate: false). Run them first.',
  },
  SAGAZ_MIGRATION_CHANGED: {
    retryable: false,
    sentence:
      "migration {migration} was applied with checksum {applied}, but this library holds {held}. Never edit an applied migration.",
  },
  SAGAZ_FENCED: {
    retryable: true,
    sentence: "this worker (epoch {epoch}) lost its lease; its sagas belong to others now.",
  },
  SAGAZ_CONFLICT: {
    retryable: false,
    sentence: "saga {sagaId} was changed by another owner (event {seq} exists).",
  },
  SAGAZ_CANNOT: { retryable: false, sentence: "{storage} cannot {what}." },
  SAGAZ_UNKNOWN_STORAGE: {
    retryable: false,
    sentence: 'no storage for the URL scheme "{scheme}". Known: {known}.',
  },
  SAGAZ_DRIVER_MISSING: {
    retryable: false,
    sentence: 'the package "{driver}" is needed for {what} and is not installed. Run: npm install {driver}',
  },
  SAGAZ_POOL_TOO_SMALL: {
    retryable: false,
    sentence:
      "the pool allows {size} connections; sagaz needs at least {needed} (two to write, one each for the heartbeat, keyed starts and reading).",
  },
  SAGAZ_EMBEDDED_UNAVAILABLE: {
    retryable: false,
    sentence: "no embedded PostgreSQL for this platform: {message}",
  },
  SAGAZ_EMBEDDED_FAILED: {
    retryable: false,
    sentence: "the embedded PostgreSQL in {dataDir} did not start: {message}",
  },

  // Events and brokers.
  SAGAZ_TOO_MANY_EVENTS: {
    retryable: false,
    sentence:
      'step "{step}" publishes more events than eventsPerCallMax = {limit} in one call. Publish a list in one event, or split the step.',
  },
  SAGAZ_CALL_SETTLED: {
    retryable: false,
    sentence:
      "the function of {whose} has returned; what it publishes or writes now would not be kept with its result. Await everything before it returns.",
  },
  SAGAZ_INVALID_EVENT: {
    retryable: false,
    sentence: "an event cannot be published: its {what} is {value}; {rule}.",
  },
  SAGAZ_HANDLER_FAILED: {
    retryable: true,
    sentence: 'the handler of "{consumer}" failed for event {eventId} ("{type}"): {message}',
  },
  SAGAZ_HANDLER_TIMEOUT: {
    retryable: true,
    sentence:
      'the handler of "{consumer}" did not settle within handlerTimeoutMs = {timeoutMs} for event {eventId} ("{type}"); what it wrote is rolled back.',
  },
  SAGAZ_BROKER_UNAVAILABLE: { retryable: true, sentence: "{broker} cannot be reached: {message}" },
  SAGAZ_BROKER_HELD_BACK: {
    retryable: true,
    sentence:
      "a message of the same topic and key, sent before this one, was not accepted; so that they keep their order, this one was not sent.",
  },
  SAGAZ_MESSAGE_REFUSED: {
    retryable: false,
    sentence: '{broker} refused a message for topic "{topic}": {message}',
  },
  SAGAZ_UNKNOWN_TOPIC: {
    retryable: false,
    sentence:
      '{broker} has nowhere to put a message for topic "{topic}". Create the topic, or a consumer of it.',
  },
  SAGAZ_DESTINATION_UNAVAILABLE: {
    retryable: true,
    sentence: "{destination} takes nothing now: {message}. It is tried again.",
  },
  SAGAZ_UNKNOWN_DESTINATION: {
    retryable: false,
    sentence:
      '{broker} does not post to "{destination}". Name its origin in the `destinations` of an HttpOutlet, and give that to the OutboxWorker as its broker.',
  },
  SAGAZ_CDC_UNAVAILABLE: { retryable: true, sentence: "the log cannot be read: {why}. {advice}." },
  SAGAZ_SLOT_LOST: { retryable: true, sentence: "the replication slot is lost: {why}. A new one is made." },
  SAGAZ_SLOT_BEHIND: {
    retryable: true,
    sentence:
      "the replication slot keeps {bytes} bytes of the log; the limit slotWalBytesMax is {limit}. It is dropped until polling has caught up.",
  },
  SAGAZ_UNKNOWN_BROKER: {
    retryable: false,
    sentence: 'no broker for the URL scheme "{scheme}". Known: {known}.',
  },

  // Ours.
  SAGAZ_STUCK: {
    retryable: false,
    sentence:
      "saga {sagaId} cannot go on because its journal breaks a rule ({rule}). This is a bug in sagaz: please report it.",
  },
  SAGAZ_BUG: { retryable: false, sentence: "a rule inside sagaz was broken: {rule}. Please report it." },
} as const;
