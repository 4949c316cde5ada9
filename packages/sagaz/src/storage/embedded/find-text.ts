import { readFile } from "node:fs/promises";

/** A file's text, or undefined when there is no such file. @throws what the file system says in every other case. */
export async function findText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
