export {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from "./embedded-postgres.ts";
export {
  EmbeddedPostgreSQLStorage,
  type EmbeddedPostgreSQLStorageOptions,
} from "./embedded-postgresql-storage.ts";
