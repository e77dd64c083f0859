-- phase: expand
-- Comments of tasks, preferences for notifications, and what the reminders before a due time need. The new foreign keys
-- and the new column of tasks take the locks of tasks and users for an instant: no row is read or rewritten, because the
-- referring tables are empty and the default is a constant. The previous version deletes tasks and users as before; the
-- rows here go with them by the foreign keys.

create table comments (
  id uuid constraint comments_pkey primary key,
  task_id uuid not null constraint comments_task_fkey references tasks on delete cascade,
  -- Null where the account was deleted.
  author_id uuid constraint comments_author_fkey references users on delete set null,
  body text not null,
  -- Users who could read the task when they were mentioned.
  mentions uuid[] not null default '{}',
  version bigint not null default 1,
  content_version bigint not null default 1,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now()
);

create index comments_task_created_idx on comments (task_id, created_at, id);
-- The authors of a task's comments, each found by one probe, and whether one of them wrote before a given comment.
create index comments_task_author_idx on comments (task_id, author_id, created_at, id) where author_id is not null;
create index comments_author_idx on comments (author_id) where author_id is not null;

-- A user without a row has the defaults.
create table notification_preferences (
  user_id uuid constraint notification_preferences_pkey primary key
    constraint notification_preferences_user_fkey references users on delete cascade,
  due_soon_hours smallint not null default 24,
  -- By kind, the channels that are off: {"commented": ["email"]}. What is not listed is on.
  silenced jsonb not null default '{}',
  updated_at timestamptz(3) not null default now(),
  constraint notification_preferences_hours_are_a_week check (due_soon_hours between 1 and 168)
);

-- As overdue_rev: the due_rev for which the loop has decided.
alter table tasks add column due_soon_rev integer not null default 0;

-- Tasks that are due within a week, but not yet soon for the user they would be announced to: when to look again.
create table due_soon_reminders (
  task_id uuid constraint due_soon_reminders_pkey primary key
    constraint due_soon_reminders_task_fkey references tasks on delete cascade,
  -- No foreign key: the row is found again by its time, and another user takes the place of one who is gone.
  recipient_id uuid not null,
  check_at timestamptz(3) not null
);

create index due_soon_reminders_check_idx on due_soon_reminders (check_at);
create index due_soon_reminders_recipient_idx on due_soon_reminders (recipient_id);

-- Another assignee may want to know earlier. Fires for no other update; a trigger, because servers of the previous
-- version assign tasks as well.
create function wake_due_soon_reminder() returns trigger language plpgsql as $$
begin
  update due_soon_reminders set check_at = now() where task_id = new.id;
  return null;
end $$;

create trigger tasks_wake_due_soon_reminder
  after update of assignee_id on tasks
  for each row when (old.assignee_id is distinct from new.assignee_id and new.due_at is not null)
  execute function wake_due_soon_reminder();
