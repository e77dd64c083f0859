-- What the worker keeps: how far each consumer has read, what it could not digest, and the inbox it fills.

-- A consumer commits its effects and its new position in one transaction: that, not the lease on the shard,
-- makes effects happen exactly once.
create table consumer_cursor (
  consumer text not null,
  shard smallint not null,
  seq bigint not null,
  constraint consumer_cursor_pkey primary key (consumer, shard)
);

create table dead_letter (
  consumer text not null,
  shard smallint not null,
  seq bigint not null,
  error text not null,
  attempts integer not null,
  entry jsonb not null,
  failed_at timestamptz(3) not null default now(),
  constraint dead_letter_pkey primary key (consumer, shard, seq)
);

-- task_id and project_id outlive what they name: a notification stays readable after a deletion.
create table notifications (
  id uuid constraint notifications_pkey primary key,
  user_id uuid not null constraint notifications_user_fkey references users on delete cascade,
  kind text not null,
  task_id uuid,
  project_id uuid,
  actor_id uuid constraint notifications_actor_fkey references users on delete set null,
  data jsonb not null default '{}',
  -- What makes this notification the same as another: overdue:<task>:<due_rev>, or the log entry behind it.
  dedupe_key text not null,
  read_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  constraint notifications_once unique (user_id, dedupe_key),
  constraint notifications_kind_is_known check (kind in (
    'assigned', 'shared', 'mentioned', 'commented', 'completed', 'due_soon', 'overdue', 'project_invited'))
);

create index notifications_user_created_idx on notifications (user_id, created_at, id);
create index notifications_unread_idx on notifications (user_id) where read_at is null;
