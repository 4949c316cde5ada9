import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

const file = path.join(import.meta.dirname, "results.md");

/** Keeps a section of Markdown in `results.md`, in the place of the one before with the same heading. */
export async function keepResults(section: string): Promise<void> {
  await writeFile(file, replaceSection(await readFile(file, "utf8"), section));
}

/** The page with this section in it: instead of the one that begins with the same line, else at the end. */
export function replaceSection(page: string, section: string): string {
  const [heading] = section.split("\n", 1);
  const parts = page.split(/^(?=## )/m);
  const at = parts.findIndex((part) => part.split("\n", 1)[0] === heading);
  if (at === -1) parts.push(section);
  else parts[at] = section;
  return `${parts.map((part) => part.trim()).join("\n\n")}\n`;
}
