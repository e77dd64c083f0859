-- phase: expand
-- Attachments of tasks, and the objects of the storage whose rows are gone. New tables: the foreign keys lock `tasks`
-- and `users` against writes for an instant.

create table attachments (
  id uuid constraint attachments_pkey primary key,
  task_id uuid not null constraint attachments_task_fkey references tasks on delete cascade,
  uploader_id uuid constraint attachments_uploader_fkey references users on delete set null,
  -- `uploading`: the row was inserted before its object, so that the object of an interrupted upload is found.
  -- `waiting`: a client may store the object itself until expires_at. `verifying`: a worker checks the object.
  -- `ready`: shown to those who can read the task; the object exists.
  state text not null,
  storage_key text not null constraint attachments_storage_key_once unique,
  filename text not null,
  content_type text not null,
  size bigint not null,
  sha256 bytea not null,
  -- When an unfinished upload counts as abandoned.
  expires_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  constraint attachments_state_is_known check (state in ('uploading', 'waiting', 'verifying', 'ready')),
  constraint attachments_size_is_positive check (size > 0),
  constraint attachments_unfinished_expires check ((state in ('uploading', 'waiting')) = (expires_at is not null))
);

-- Lists of a task, oldest first; deletions of tasks.
create index attachments_task_created_idx on attachments (task_id, created_at, id);
-- What a user has stored, without reading rows; deletions of users.
create index attachments_uploader_idx on attachments (uploader_id) include (size) where uploader_id is not null;
create index attachments_expires_idx on attachments (expires_at) where expires_at is not null;

-- Objects to delete. A row is inserted in the transaction that removes the row which owned the object, and goes once the
-- object is gone.
create table file_deletions (
  key text constraint file_deletions_pkey primary key,
  created_at timestamptz(3) not null default now()
);

create index file_deletions_created_idx on file_deletions (created_at, key);

-- In the database, because attachments go with tasks, projects and accounts by cascades, each in a path of its own: no
-- path can forget it. For each row: a cascade is one statement a task, most of which have no attachments.
create function list_deleted_object() returns trigger language plpgsql as $$
begin
  insert into file_deletions (key) values (old.storage_key) on conflict do nothing;
  return null;
end $$;

create trigger attachments_list_deleted_object
  after delete on attachments
  for each row
  execute function list_deleted_object();
