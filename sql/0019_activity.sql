-- phase: expand
-- Activity: what was changed, by whom, from what to what, made by the consumer `activity` from the entries of projects
-- and kept when the log has dropped them. Adds a table. `feed.override` marks entries of writes in which an admin had no
-- right but that of admins; adding the column takes the log's lock for an instant and rewrites nothing.
alter table feed add column override boolean not null default false;

-- No foreign keys: rows outlive their task, project and actor, and are written by the consumer alone, after the fact.
create table activity (
  -- A UUIDv7 of the entry's time, shard and number: the same for the same entry, and in the order of time.
  id uuid constraint activity_pkey primary key,
  type text not null,
  actor_id uuid,
  -- The project whose scope had the entry. Who can read it now can read the row.
  project_id uuid not null,
  task_id uuid,
  entity_id uuid not null,
  changes jsonb not null default '{}',
  override boolean not null default false,
  created_at timestamptz(3) not null
);

-- Each list is read from the end of one of these, however many rows the table has.
create index activity_project_idx on activity (project_id, id);
create index activity_project_type_idx on activity (project_id, type, id);
create index activity_project_actor_idx on activity (project_id, actor_id, type, id);
create index activity_task_idx on activity (task_id, id) where task_id is not null;

-- Reads by the right of admins are noted once per admin, project and hour.
create unique index activity_override_read_key
  on activity (project_id, actor_id, date_trunc('hour', created_at at time zone 'UTC')) where type = 'project.read';
