-- phase: expand
-- Mails about notifications: the notices of one person within a minute become one mail. Two new tables, so nothing that
-- runs is locked.

-- The window of each person that is open, or was the last. A window closes after a minute, or when its mail is made.
create table mail_windows (
  user_id uuid constraint mail_windows_pkey primary key
    constraint mail_windows_user_fkey references users on delete cascade,
  -- Names the window in its delivery and its notices.
  id uuid not null,
  closes_at timestamptz(3) not null
);

-- The notices of a window until its mail is sent.
create table mail_notices (
  id uuid constraint mail_notices_pkey primary key,
  window_id uuid not null,
  user_id uuid not null constraint mail_notices_user_fkey references users on delete cascade,
  -- The notification in the inbox: one that is read meanwhile is not sent. Null where the person keeps it out of the
  -- inbox. No foreign key: the row is short-lived and read by a join.
  notification_id uuid,
  kind text not null,
  task_id uuid,
  project_id uuid,
  actor_id uuid,
  data jsonb not null,
  created_at timestamptz(3) not null
);

create index mail_notices_window_idx on mail_notices (window_id, created_at, id);
create index mail_notices_user_idx on mail_notices (user_id);
-- For the removal of notices whose mail was refused.
create index mail_notices_created_idx on mail_notices (created_at);
