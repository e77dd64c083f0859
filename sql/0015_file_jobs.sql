-- phase: expand
-- What the jobs on files note. `queued_at`: the deletion has a delivery, which drops the row when the object is gone.
-- `missing_since`: the sweep found the row without its object. Nullable columns without a default: the catalog changes
-- under an exclusive lock for an instant, no row does.
alter table file_deletions add column queued_at timestamptz(3);

create index file_deletions_unqueued_idx on file_deletions (created_at, key) where queued_at is null;

alter table attachments add column missing_since timestamptz(3);

create index attachments_missing_idx on attachments (missing_since) where missing_since is not null;

-- Reports of sweeps, the last hundred.
create table file_sweeps (
  id uuid constraint file_sweeps_pkey primary key,
  finished_at timestamptz(3) not null default now(),
  report jsonb not null
);
