import { isUrl, toShown, whyNoUrl } from "../core/delivery/url-topic.ts";
import { SagaError } from "../core/errors.ts";
import type { RepliesOptions } from "./delivery/reply-receiver.ts";
import type { Registry } from "./registry.ts";

/**
 * Checks that replies can come the way that commands go.
 *
 * @throws SagaError `SAGAZ_INVALID_OPTION`.
 */
export function checkReplies(registry: Registry, replies: RepliesOptions | undefined): void {
  for (const { name, graph } of registry) {
    for (const { topic } of graph.commands) checkWay({ name, toUrl: isUrl(topic) }, replies);
  }
  const { topic, url, broker } = replies ?? {};
  if (broker && topic === undefined)
    throw invalid("topic", "undefined", "a broker brings replies from a topic: name it");
  if (url === undefined) return;
  const why = isUrl(url) ? whyNoUrl(url) : "it must be an http or https URL";
  if (why !== undefined) throw invalid("url", toShown(url), why);
}

function checkWay(
  { name, toUrl }: { readonly name: string; readonly toUrl: boolean },
  { topic, url }: RepliesOptions = {},
): void {
  if ((toUrl ? url : topic) !== undefined) return;
  const [option, what, where] = toUrl
    ? (["url", "commands to a URL", "the URL at which you take their replies"] as const)
    : (["topic", "command steps", "the topic of their replies"] as const);
  throw invalid(option, "undefined", `saga "${name}" has ${what}: name ${where}`);
}

function invalid(option: string, value: string, rule: string): SagaError {
  const where = "SagaOrchestrator";
  return new SagaError("SAGAZ_INVALID_OPTION", { where, option: `replies.${option}`, value, rule });
}
