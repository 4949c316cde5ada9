import type {
  After,
  ChildSpec,
  ForwardStep,
  SignalSpec,
  SleepSpec,
  UndoableCommand,
  UndoableMap,
  UndoableStep,
} from "./builder-steps.ts";
import { checkOptionNames } from "./check-options.ts";
import { define } from "./define.ts";
import { definitionOf } from "./definition-of.ts";
import type { SagaDefinition } from "./definition.ts";
import type { SagaDraft, SagaOptions, StepDraft } from "./draft.ts";
import { SAGA_OPTIONS, STEP_OPTIONS, UNDO_OPTIONS } from "./option-names.ts";
import type { StandardSchema } from "./standard-schema.ts";
import { toUndoDraft } from "./undo-options.ts";

type AnyResults = Readonly<Record<string, unknown>>;
type AnyForward = ForwardStep<string, unknown, AnyResults, unknown, unknown>;
type AnyStep = UndoableStep<string, unknown, AnyResults, unknown, unknown, unknown>;
type AnyCommand = UndoableCommand<string, unknown, AnyResults, unknown, unknown>;
type AnyMap = UndoableMap<string, unknown, AnyResults, unknown, unknown, unknown, unknown>;
type AnySleep = SleepSpec<string, unknown, AnyResults>;
type AnyChild = ChildSpec<string, unknown, AnyResults, unknown, unknown>;

/** What `saga(…)` returns, without its types: gathers steps into a draft. */
export class DraftBuilder {
  readonly #draft: SagaDraft;

  private constructor(draft: SagaDraft) {
    this.#draft = draft;
  }

  static start(name: string, written: SagaOptions & { readonly input?: StandardSchema }): DraftBuilder {
    checkOptionNames(`saga "${name}"`, written, ["input", ...SAGA_OPTIONS]);
    const { input, ...options } = written;
    return new DraftBuilder({ name, options, input, steps: [] });
  }

  step(name: string, written: AnyStep): DraftBuilder {
    this.#checkNames(name, written, ["do", "undo", ...STEP_OPTIONS.action, ...UNDO_OPTIONS]);
    return this.#add(name, written, { ...actionOf(written), undo: toUndoDraft(written) });
  }

  command(name: string, written: AnyCommand): DraftBuilder {
    this.#checkNames(name, written, ["undo", ...STEP_OPTIONS.command, ...UNDO_OPTIONS]);
    return this.#add(name, written, { ...commandOf(name, written), undo: toUndoDraft(written) });
  }

  pivot(name: string, written: AnyStep | AnyCommand): DraftBuilder {
    if ("topic" in written) {
      this.#checkNames(name, written, ["undo", ...STEP_OPTIONS.command]);
      return this.#add(name, written, {
        ...commandOf(name, written),
        pivot: true,
        undo: toUndoDraft(written),
      });
    }
    // An undo is let through, for `define` to refuse with the reason.
    this.#checkNames(name, written, ["do", "undo", ...STEP_OPTIONS.action]);
    return this.#add(name, written, { ...actionOf(written), pivot: true, undo: toUndoDraft(written) });
  }

  map(name: string, written: AnyMap): DraftBuilder {
    this.#checkNames(name, written, ["do", "undo", ...STEP_OPTIONS.map, ...UNDO_OPTIONS]);
    const { over, do: run, verify, concurrency } = written;
    const work = { kind: "map", over, do: run, verify, concurrency } as StepDraft["work"];
    return this.#add(name, written, { work, options: written, undo: toUndoDraft(written) });
  }

  signal(name: string, written: SignalSpec<string, unknown> = {}): DraftBuilder {
    this.#checkNames(name, written, STEP_OPTIONS.signal);
    const { signal = name, waitMs, payload } = written;
    const options = payload ? { result: payload } : {};
    return this.#add(name, written, { work: { kind: "signal", signal, waitMs }, options });
  }

  sleep(name: string, written: AnySleep): DraftBuilder {
    this.#checkNames(name, written, STEP_OPTIONS.sleep);
    return this.#add(name, written, { work: { kind: "sleep", forMs: written.forMs }, options: written });
  }

  child(name: string, written: AnyChild): DraftBuilder {
    this.#checkNames(name, written, STEP_OPTIONS.child);
    const { saga, input, ...options } = written;
    const work = { kind: "child", child: definitionOf(saga), input } as StepDraft["work"];
    return this.#add(name, written, { work, options });
  }

  build(written: { readonly output?: SagaDraft["output"] } = {}): SagaDefinition {
    checkOptionNames(`build of "${this.#draft.name}"`, written, ["output"]);
    return define({ ...this.#draft, output: written.output });
  }

  #checkNames(step: string, written: object, known: readonly string[]): void {
    checkOptionNames(`step "${step}" of "${this.#draft.name}"`, written, ["after", ...known]);
  }

  #add(
    name: string,
    { after }: After<string>,
    rest: Pick<StepDraft, "work" | "options"> & Partial<StepDraft>,
  ) {
    const step: StepDraft = { pivot: false, ...rest, name, dependsOn: after };
    return new DraftBuilder({ ...this.#draft, steps: [...this.#draft.steps, step] });
  }
}

function actionOf(written: AnyForward): Pick<StepDraft, "work" | "options"> {
  const { do: run, verify, transactional = false } = written;
  const work = { kind: "action", do: run, verify, transactional } as StepDraft["work"];
  return { work, options: written };
}

function commandOf(
  name: string,
  { command = name, ...written }: AnyCommand,
): Pick<StepDraft, "work" | "options"> {
  const { topic, payload, verify, replyTimeoutMs, waitMs } = written;
  const work = {
    kind: "command",
    command,
    topic,
    payload,
    verify,
    replyTimeoutMs,
    waitMs,
  } as StepDraft["work"];
  return { work, options: written };
}
