import { queries } from "./sql.generated.ts";

/** Our statements by name. */
export type Sql = Readonly<Record<keyof typeof queries, string>>;

/** Fills in the schema's name, which was checked to need no care. */
export function renderSql(schema: string): Sql {
  const rendered = Object.entries(queries).map(([name, text]) => [
    name,
    text.replaceAll("{{schema}}", `"${schema}"`),
  ]);
  return Object.freeze(Object.fromEntries(rendered)) as Sql;
}
