import type { EntityManager as CoreEntityManager } from "@mikro-orm/core";
import type { EntityManager as MikroOrmManager, MikroORM } from "@mikro-orm/postgresql";
import type { ITXClientDenyList } from "@prisma/client/runtime/client";
import type { NodePgDatabase, NodePgTransaction } from "drizzle-orm/node-postgres";
import type { PostgresJsDatabase, PostgresJsTransaction } from "drizzle-orm/postgres-js";
import type { Knex } from "knex";
import type { ControlledTransaction, Kysely, Transaction } from "kysely";
import type pg from "pg";
import type { ReservedSql, Sql, TransactionSql } from "postgres";
import type { DataSource, EntityManager, QueryRunner } from "typeorm";
import { expectTypeOf, test } from "vitest";
import type { PrismaClient } from "../../../../tests/transactions/prisma-client.ts";
import type { SqlRunner } from "../core/definition/context.ts";
import type {
  fromDrizzle,
  fromKnex,
  fromKysely,
  fromMikroOrm,
  fromPg,
  fromPostgresJs,
  fromPrisma,
  fromTypeOrm,
} from "./index.ts";

interface Tables {
  readonly orders: { readonly id: string };
}

type None = Record<string, never>;

test("pg: a client, and no pool", () => {
  type Taken = Parameters<typeof fromPg>[0];
  expectTypeOf<pg.Client>().toExtend<Taken>();
  expectTypeOf<pg.PoolClient>().toExtend<Taken>();
  expectTypeOf<pg.Pool>().not.toExtend<Taken>();
});

test("postgres.js: the sql of a transaction, and neither the pool's nor a reserved one", () => {
  type Taken = Parameters<typeof fromPostgresJs>[0];
  expectTypeOf<TransactionSql>().toExtend<Taken>();
  expectTypeOf<TransactionSql<{ bigint: bigint }>>().toExtend<Taken>();
  expectTypeOf<Sql>().not.toExtend<Taken>();
  expectTypeOf<ReservedSql>().not.toExtend<Taken>();
});

test("Kysely: a transaction, and no database", () => {
  type Taken = Parameters<typeof fromKysely>[0];
  expectTypeOf<Transaction<Tables>>().toExtend<Taken>();
  expectTypeOf<ControlledTransaction<Tables, ["before"]>>().toExtend<Taken>();
  expectTypeOf<Kysely<Tables>>().not.toExtend<Taken>();
});

test("Drizzle: a transaction of either driver, and no database", () => {
  type Taken = Parameters<typeof fromDrizzle>[0];
  expectTypeOf<NodePgTransaction<None, None>>().toExtend<Taken>();
  expectTypeOf<PostgresJsTransaction<None, None>>().toExtend<Taken>();
  expectTypeOf<NodePgDatabase>().not.toExtend<Taken>();
  expectTypeOf<PostgresJsDatabase>().not.toExtend<Taken>();
});

test("Knex: a transaction, and no knex", () => {
  type Taken = Parameters<typeof fromKnex>[0];
  expectTypeOf<Knex.Transaction>().toExtend<Taken>();
  expectTypeOf<Knex>().not.toExtend<Taken>();
});

test("Prisma: the client of a transaction, and not the whole one", () => {
  type Taken = Parameters<typeof fromPrisma>[0];
  expectTypeOf<Omit<PrismaClient, ITXClientDenyList>>().toExtend<Taken>();
  expectTypeOf<PrismaClient>().not.toExtend<Taken>();
});

test("TypeORM: an entity manager or a query runner, and no data source", () => {
  type Taken = Parameters<typeof fromTypeOrm>[0];
  expectTypeOf<EntityManager>().toExtend<Taken>();
  expectTypeOf<QueryRunner>().toExtend<Taken>();
  expectTypeOf<DataSource>().not.toExtend<Taken>();
});

test("MikroORM: the entity manager of a database with SQL", () => {
  type Taken = Parameters<typeof fromMikroOrm>[0];
  expectTypeOf<MikroOrmManager>().toExtend<Taken>();
  expectTypeOf<CoreEntityManager>().not.toExtend<Taken>();
  expectTypeOf<MikroORM>().not.toExtend<Taken>();
});

test("every adapter makes what outbox.add and start take", () => {
  type Made = ReturnType<
    | typeof fromDrizzle
    | typeof fromKnex
    | typeof fromKysely
    | typeof fromMikroOrm
    | typeof fromPg
    | typeof fromPostgresJs
    | typeof fromPrisma
    | typeof fromTypeOrm
  >;
  expectTypeOf<Made>().toEqualTypeOf<SqlRunner>();
});
