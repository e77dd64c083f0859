-- phase: expand
-- Counters of the tasks of each project, maintained by the consumer `stats` from the entries of the log. Invariant: at
-- every snapshot, counters plus the entries after the consumer's position are what a count of the rows gives, because
-- counters and position move in one transaction. The last statement computes the starting state: counters and positions
-- come from one statement and so from one snapshot of the database. It reads `tasks` once for each table (about 4 s for a
-- million tasks) and locks nothing that others use; servers and workers of the previous version keep running.
create table project_statistics (
  project_id uuid constraint project_statistics_pkey primary key,
  -- Tasks by status and by priority. The sums of both are the number of tasks.
  todo integer not null default 0,
  in_progress integer not null default 0,
  done integer not null default 0,
  cancelled integer not null default 0,
  low integer not null default 0,
  medium integer not null default 0,
  high integer not null default 0,
  urgent integer not null default 0,
  -- Whether the counters changed since the last `stats.updated`, and when that was.
  is_changed boolean not null default false,
  announced_at timestamptz(3) not null default '-infinity'
) with (fillfactor = 50);

create index project_statistics_changed_idx on project_statistics (announced_at) where is_changed;

-- No foreign keys: the rows of a deleted project go when the consumer reaches its `project.deleted`.
create table project_tag_counts (
  project_id uuid not null,
  tag text not null,
  count integer not null,
  constraint project_tag_counts_pkey primary key (project_id, tag)
) with (fillfactor = 70);

-- Completed tasks by the UTC quarter-hour of `completed_at`: local days of every time zone begin at one.
create table project_completions (
  project_id uuid not null,
  quarter timestamptz(0) not null,
  count integer not null,
  constraint project_completions_pkey primary key (project_id, quarter)
) with (fillfactor = 70);

-- One row for each nightly check: a worker that inserts the row does the check of that night.
create table statistics_checks (
  night date constraint statistics_checks_pkey primary key,
  projects integer not null default 0,
  -- Projects whose counters differed from a count of their rows.
  drifted integer not null default 0,
  started_at timestamptz(3) not null default now(),
  finished_at timestamptz(3)
);

with positions as (
  insert into consumer_cursor (consumer, shard, seq)
  select 'stats', shard, seq from feed_head
), tags as (
  insert into project_tag_counts (project_id, tag, count)
  select project_id, tag, count(*) from tasks cross join lateral unnest(tags) as tag group by project_id, tag
), completions as (
  insert into project_completions (project_id, quarter, count)
  select project_id, date_bin('15 minutes', completed_at, 'epoch'), count(*)
  from tasks where completed_at is not null
  group by 1, 2
)
insert into project_statistics (project_id, todo, in_progress, done, cancelled, low, medium, high, urgent)
select
  project_id,
  count(*) filter (where status = 'todo'), count(*) filter (where status = 'in_progress'),
  count(*) filter (where status = 'done'), count(*) filter (where status = 'cancelled'),
  count(*) filter (where priority = 'low'), count(*) filter (where priority = 'medium'),
  count(*) filter (where priority = 'high'), count(*) filter (where priority = 'urgent')
from tasks
group by project_id;
