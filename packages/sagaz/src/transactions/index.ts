/**
 * Adapters that let sagaz write in a transaction of your own, whatever library holds it: `outbox.add(fromDrizzle(tx), event)`.
 *
 * @packageDocumentation
 */
export { fromDrizzle } from "./from-drizzle.ts";
export type { DrizzleTransaction } from "./from-drizzle.ts";
export { fromKnex } from "./from-knex.ts";
export type { KnexTransaction } from "./from-knex.ts";
export { fromKysely } from "./from-kysely.ts";
export type { KyselyQuery, KyselyTransaction } from "./from-kysely.ts";
export { fromMikroOrm } from "./from-mikro-orm.ts";
export type { MikroOrmTransaction } from "./from-mikro-orm.ts";
export { fromPg } from "./from-pg.ts";
export type { PgClient } from "./from-pg.ts";
export { fromPostgresJs } from "./from-postgres-js.ts";
export type { PostgresJsTransaction } from "./from-postgres-js.ts";
export { fromPrisma } from "./from-prisma.ts";
export type { PrismaTransaction } from "./from-prisma.ts";
export { fromTypeOrm } from "./from-type-orm.ts";
export type { TypeOrmTransaction, TypeOrmQueryRunner } from "./from-type-orm.ts";
