-- The change log: the truth that sockets, HTTP sync and the worker all read under the same numbers.

-- One row a shard. Whoever appends updates it and so holds its lock until commit: within a shard numbers are
-- contiguous, in commit order, and a rollback leaves no hole. Few columns and a low fill factor keep the
-- hottest rows of the system in heap-only updates.
create table feed_head (
  shard smallint constraint feed_head_pkey primary key,
  epoch text not null,
  seq bigint not null default 0
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0.01);

-- The cluster the epoch was made under. A difference at start means a restored or copied cluster, whose
-- numbers may repeat under other contents: a new epoch is made.
create table feed_origin (
  only_row boolean constraint feed_origin_pkey primary key default true,
  system_identifier text not null,
  timeline integer not null,
  constraint feed_origin_is_one_row check (only_row)
);

-- The last number of each scope, written by the append statement under the shard's lock.
create table scope_head (
  scope text constraint scope_head_pkey primary key,
  seq bigint not null
) with (fillfactor = 50);

create table feed (
  shard smallint not null,
  seq bigint not null,
  at timestamptz(3) not null,
  scope text not null,
  type text not null,
  entity_id uuid,
  version bigint not null,
  actor_id uuid,
  -- The Idempotency-Key of the write.
  op text,
  -- What servers must do on reading it: end subscriptions, drop tokens, close sockets.
  control jsonb,
  -- {field: {from, to}}; feeds statistics and activity, never sent.
  changes jsonb,
  -- One of more than 200 entries of its scope and transaction: consumers see it, sockets do not.
  quiet boolean not null default false,
  -- The whole socket frame as ASCII JSON, encoded once here; null for entries that sockets do not see.
  frame text,
  constraint feed_pkey primary key (shard, seq, at),
  constraint feed_quiet_has_no_frame check (not quiet or frame is null)
) partition by range (at);

create index feed_scope_idx on feed (scope, seq);

-- Whoever resumes asks whether the scope was given to them or taken meanwhile, however far behind they are.
create index feed_access_idx on feed (scope, seq) where control is not null or type = 'member.added';

-- Daily partitions are made ahead by migrate, servers and workers; a row here is an alarm.
create table feed_default partition of feed default;

-- Partition bounds are literals in DDL, so that attaching one day's table needs this much procedure. A table that
-- is already attached (two processes at midnight) is left alone.
create function attach_feed_partition(name text, day date, next date) returns void language plpgsql as $$
begin
  if not exists (select from pg_inherits where inhrelid = name::regclass) then
    execute format('alter table feed attach partition %I for values from (%L) to (%L)',
      name, day::text || ' 00:00:00+00', next::text || ' 00:00:00+00');
  end if;
end $$;

-- Answers kept for 24 h so that a repeated request has one effect. Claimed by a transaction's first statement,
-- filled by its append statement.
create table idempotency_keys (
  user_id uuid not null constraint idempotency_keys_user_fkey references users on delete cascade,
  method text not null,
  path text not null,
  key text not null,
  fingerprint bytea not null,
  status smallint,
  headers jsonb,
  body text,
  created_at timestamptz(3) not null default now(),
  constraint idempotency_keys_pkey primary key (user_id, method, path, key)
);

create index idempotency_keys_created_idx on idempotency_keys (created_at);
