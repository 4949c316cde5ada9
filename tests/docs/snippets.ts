import { listFiles, read } from "../tidy/repository.ts";

/** A piece of TypeScript out of a page. */
export interface Snippet {
  /** `README.md:17`: where it begins. */
  readonly place: string;
  readonly code: string;
  /** Written as `ts run`: it is a whole program. */
  readonly runs: boolean;
  /** The `text` block that follows it: what the program prints. */
  readonly prints: string | undefined;
}

const BLOCK = /^```ts( run)?\n([\s\S]*?)^```\n(?:\n```text\n([\s\S]*?)^```\n)?/gm;

/** Every block of TypeScript in the pages that users read. */
export function listSnippets(): Snippet[] {
  return listFiles(/^(README|ARCHITECTURE|CONTRIBUTING|docs\/.*|packages\/sagaz\/README)\.md$/).flatMap(
    (page) => {
      const text = read(page);
      return [...text.matchAll(BLOCK)].map((match) => ({
        place: `${page}:${text.slice(0, match.index).split("\n").length}`,
        code: match[2] ?? "",
        runs: match[1] !== undefined,
        prints: match[3],
      }));
    },
  );
}
