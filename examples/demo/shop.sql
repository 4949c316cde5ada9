-- The shop's own tables, in the same database as sagaz but in a schema of their own.
create schema if not exists demo_shop;

create table if not exists demo_shop.orders (
  number text primary key,
  run integer not null,
  customer text not null,
  saga_id uuid not null,
  confirmed_at timestamptz
);

create table if not exists demo_shop.products (
  sku text primary key,
  name text not null,
  price_cents integer not null,
  delivered integer not null,
  available integer not null check (available >= 0)
);

create table if not exists demo_shop.reservations (
  order_number text not null,
  sku text not null references demo_shop.products,
  quantity integer not null,
  released_at timestamptz
);

-- Double entry: every booking has two rows whose amounts add up to zero.
create table if not exists demo_shop.ledger (
  order_number text not null,
  account text not null check (account in ('customer', 'shop')),
  amount_cents integer not null
);

create table if not exists demo_shop.disputes (order_number text primary key, closed_at timestamptz);

create table if not exists demo_shop.parcels (
  tracking text primary key,
  order_number text not null,
  cancelled_at timestamptz
);

create table if not exists demo_shop.mails (order_number text not null, kind text not null);

-- What a participant remembers of each idempotency key: see participant.ts.
create table if not exists demo_shop.calls (
  key text primary key,
  asked integer not null default 0,
  reply jsonb,
  undone_at timestamptz
);
