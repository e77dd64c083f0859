-- Tasks, the ids that deleted tasks leave behind, and single shares.

-- The words of a text: punctuation separates them. PostgreSQL's parser alone would keep src/app.ts, and/or and
-- ada@example.com as one word each, and whoever looks for "app" would find nothing.
create function task_words(content text) returns text
  language sql immutable parallel safe
  return translate(content, $$!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~$$, repeat(' ', 32));

-- array_to_string is only stable, yet for text[] its result depends on nothing but its arguments, so that an
-- immutable wrapper is safe and lets the search document be a generated column.
create function task_document(title text, description text, tags text[]) returns tsvector
  language sql immutable parallel safe
  return to_tsvector('simple'::regconfig, task_words(title || ' ' || description || ' ' || array_to_string(tags, ' ')));

create table tasks (
  id uuid constraint tasks_pkey primary key,
  project_id uuid not null constraint tasks_project_fkey references projects on delete cascade,
  parent_id uuid constraint tasks_parent_fkey references tasks on delete cascade,
  title text not null,
  description text not null default '',
  status text not null default 'todo',
  priority text not null default 'medium',
  assignee_id uuid constraint tasks_assignee_fkey references users on delete set null,
  creator_id uuid constraint tasks_creator_fkey references users on delete set null,
  due_at timestamptz(3),
  tags text[] not null default '{}',
  -- Base-62 fractional key, compared by bytes.
  rank text collate "C" not null,
  completed_at timestamptz(3),
  comment_count integer not null default 0,
  attachment_count integer not null default 0,
  version bigint not null default 1,
  content_version bigint not null default 1,
  -- Rises when due_at changes or the task is reopened, so that it can be overdue (and notify) again.
  due_rev integer not null default 1,
  -- The due_rev the overdue loop has dealt with.
  overdue_rev integer not null default 0,
  document tsvector not null generated always as (task_document(title, description, tags)) stored,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  constraint tasks_status_is_known check (status in ('todo', 'in_progress', 'done', 'cancelled')),
  constraint tasks_priority_is_known check (priority in ('low', 'medium', 'high', 'urgent')),
  constraint tasks_done_is_completed check ((status = 'done') = (completed_at is not null)),
  constraint tasks_is_not_its_own_parent check (parent_id <> id)
);

-- One for each order a list can have: a page costs the same in a project of a million tasks.
create index tasks_project_created_idx on tasks (project_id, created_at, id);
create index tasks_project_updated_idx on tasks (project_id, updated_at, id);
create index tasks_project_rank_idx on tasks (project_id, rank, id);
create index tasks_project_due_idx on tasks (project_id, due_at, id);
create index tasks_project_title_idx on tasks (project_id, (lower(title) collate "C"), id);
create index tasks_project_priority_idx
  on tasks (project_id, array_position(array['low', 'medium', 'high', 'urgent'], priority), id);
create index tasks_project_status_idx
  on tasks (project_id, array_position(array['todo', 'in_progress', 'done', 'cancelled'], status), id);
create index tasks_parent_idx on tasks (parent_id) where parent_id is not null;
create index tasks_assignee_idx on tasks (assignee_id, created_at, id) where assignee_id is not null;
create index tasks_creator_idx on tasks (creator_id, created_at, id);
create index tasks_tags_idx on tasks using gin (tags);
create index tasks_document_idx on tasks using gin (document);
-- Exactly the tasks the overdue loop still has to look at, in the order it does.
create index tasks_overdue_idx on tasks (due_at)
  where due_at is not null and status in ('todo', 'in_progress') and overdue_rev < due_rev;

-- A deleted task's id stays taken, so that a client that repeats or replays its creation cannot revive it.
create table task_tombstones (
  id uuid constraint task_tombstones_pkey primary key,
  deleted_at timestamptz(3) not null default now()
);

create table shares (
  task_id uuid not null constraint shares_task_fkey references tasks on delete cascade,
  user_id uuid not null constraint shares_user_fkey references users on delete cascade,
  permission text not null,
  created_at timestamptz(3) not null default now(),
  constraint shares_pkey primary key (task_id, user_id),
  constraint shares_permission_is_known check (permission in ('view', 'edit'))
);

create index shares_user_idx on shares (user_id, task_id);
