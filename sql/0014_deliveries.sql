-- phase: expand
-- Work outside the database (mail, files) that a transaction wants done: the row commits with its cause, and a worker
-- makes a job of it. A new table, so nothing that runs is locked.
create table deliveries (
  id uuid constraint deliveries_pkey primary key,
  kind text not null,
  -- What makes a delivery the same as another: a second one is dropped while the first is kept.
  dedupe_key text not null,
  payload jsonb not null,
  state text not null default 'waiting',
  -- Claims so far: a worker that dies in the middle has used one up.
  attempts integer not null default 0,
  -- When the dispatcher looks at the row next: when it is due, when its job counts as lost, when its lease ends.
  next_at timestamptz(3) not null default now(),
  lease_until timestamptz(3),
  -- Rises with each claim; only the newest claim may complete.
  fence bigint not null default 0,
  last_error text,
  created_at timestamptz(3) not null default now(),
  ended_at timestamptz(3),
  constraint deliveries_once unique (dedupe_key),
  constraint deliveries_state_is_known check (state in ('waiting', 'queued', 'running', 'done', 'failed')),
  constraint deliveries_end_with_a_time check ((ended_at is not null) = (state in ('done', 'failed')))
);

create index deliveries_next_idx on deliveries (kind, next_at) where state = 'waiting';
create index deliveries_in_flight_idx on deliveries (kind, next_at) where state in ('queued', 'running');
-- What is past its retention.
create index deliveries_done_idx on deliveries ((case when state = 'done' then ended_at end));
create index deliveries_failed_idx on deliveries ((case when state = 'failed' then ended_at end));
