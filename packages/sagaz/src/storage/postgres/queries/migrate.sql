-- Looks into the catalog itself: to_regnamespace() may answer from what this session knew before it got the lock.
-- name: schemaExists
select exists (select from pg_namespace n where n.nspname = btrim('{{schema}}', '"'))::text as found

-- name: migrationsExist
select (to_regclass('{{schema}}.saga_migrations') is not null)::text as found

-- name: createSchema
create schema if not exists {{schema}}

-- name: createMigrations
create table if not exists {{schema}}.saga_migrations (
  version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())

-- name: migrationLock
select pg_advisory_xact_lock(hashtext('sagaz migrations of {{schema}}'))

-- name: appliedMigrations
select m.version::text as version, m.name, m.checksum from {{schema}}.saga_migrations m order by m.version

-- name: noteMigration
insert into {{schema}}.saga_migrations (version, name, checksum) values ($1::integer, $2::text, $3::text)
