-- Generated from the catalog by `migrate dump`; the migrations beside it are the source. Do not edit.

set check_function_bodies = false;

CREATE OR REPLACE FUNCTION public.task_words(content text)
 RETURNS text
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN translate(content, '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~'::text, repeat(' '::text, 32));

CREATE OR REPLACE FUNCTION public.task_document(title text, description text, tags text[])
 RETURNS tsvector
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
RETURN to_tsvector('simple'::regconfig, task_words(((((title || ' '::text) || description) || ' '::text) || array_to_string(tags, ' '::text))));

CREATE OR REPLACE FUNCTION public.attach_feed_partition(name text, day date, next date)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select from pg_inherits where inhrelid = name::regclass) then
    execute format('alter table feed attach partition %I for values from (%L) to (%L)',
      name, day::text || ' 00:00:00+00', next::text || ' 00:00:00+00');
  end if;
end $function$;

CREATE OR REPLACE FUNCTION public.forget_task_words()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  new.words := null;
  new.title_key := null;
  return new;
end $function$;

CREATE OR REPLACE FUNCTION public.install_profile_changes()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  insert into consumer_cursor (consumer, shard, seq) values ('profile-changes', new.shard, new.seq)
  on conflict do nothing;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.move_profile_changes()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
declare
  handled bigint;
begin
  select seq into strict handled from consumer_cursor
  where consumer = 'profile-changes' and shard = new.shard
  for update;
  if exists (
    select from feed
    where shard = new.shard and type = 'user.updated' and changes ?| array['name', 'avatarUrl']
      and seq > least(handled, old.seq)
      and seq <= case when handled < old.seq then old.seq else least(handled, new.seq) end
  ) then
    raise exception 'profile changes of shard % are handled up to %, notifications up to %: a newer worker has to continue',
      new.shard, handled, old.seq
      using errcode = 'lock_not_available';
  end if;
  update consumer_cursor set seq = greatest(handled, new.seq)
  where consumer = 'profile-changes' and shard = new.shard;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.list_deleted_object()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if old.state <> 'ready' or old.upload_key is not null then
    perform list_writable_objects(array[old.storage_key, old.upload_key]);
  else
    insert into file_deletions (key) values (old.storage_key) on conflict do nothing;
  end if;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.wake_due_soon_reminder()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  update due_soon_reminders set check_at = now() where task_id = new.id;
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.list_deleted_avatar()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform list_writable_objects(array[old.avatar_key]);
  return null;
end $function$;

CREATE OR REPLACE FUNCTION public.list_writable_objects(keys text[])
 RETURNS void
 LANGUAGE sql
AS $function$
  insert into file_deletions (key, again_at)
  select key, now() + interval '2 hours' from unnest(keys) as key where key is not null
  on conflict (key) do update
    set queued_at = null, created_at = least(file_deletions.created_at, now()), again_at = excluded.again_at
$function$;

CREATE OR REPLACE FUNCTION public.list_replaced_object()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  perform list_writable_objects(array(
    select key from unnest(array[old.storage_key, old.upload_key]) as key
    where key is distinct from new.storage_key and key is distinct from new.upload_key));
  return null;
end $function$;

create table account_links (
  id uuid not null,
  kind text not null,
  email text not null,
  user_id uuid,
  inviter_id uuid,
  created_at timestamp(3) with time zone not null default now(),
  expires_at timestamp(3) with time zone not null,
  used_at timestamp(3) with time zone,
  constraint account_links_pkey PRIMARY KEY (id),
  constraint account_links_kind_is_known CHECK (kind = ANY (ARRAY['password_reset'::text, 'verification'::text, 'invitation'::text]))
);

create table activity (
  id uuid not null,
  type text not null,
  actor_id uuid,
  project_id uuid not null,
  task_id uuid,
  entity_id uuid not null,
  changes jsonb not null default '{}'::jsonb,
  override boolean not null default false,
  created_at timestamp(3) with time zone not null,
  constraint activity_pkey PRIMARY KEY (id)
);

create table attachments (
  id uuid not null,
  task_id uuid not null,
  uploader_id uuid,
  state text not null,
  storage_key text not null,
  filename text not null,
  content_type text not null,
  size bigint not null,
  sha256 bytea not null,
  expires_at timestamp(3) with time zone,
  created_at timestamp(3) with time zone not null default now(),
  missing_since timestamp(3) with time zone,
  upload_key text,
  constraint attachments_pkey PRIMARY KEY (id),
  constraint attachments_storage_key_once UNIQUE (storage_key),
  constraint attachments_size_is_positive CHECK (size > 0),
  constraint attachments_state_is_known CHECK (state = ANY (ARRAY['uploading'::text, 'waiting'::text, 'verifying'::text, 'ready'::text])),
  constraint attachments_unfinished_expires CHECK ((state = ANY (ARRAY['uploading'::text, 'waiting'::text])) = (expires_at IS NOT NULL))
);

create table comments (
  id uuid not null,
  task_id uuid not null,
  author_id uuid,
  body text not null,
  mentions uuid[] not null default '{}'::uuid[],
  version bigint not null default 1,
  content_version bigint not null default 1,
  created_at timestamp(3) with time zone not null default now(),
  updated_at timestamp(3) with time zone not null default now(),
  constraint comments_pkey PRIMARY KEY (id)
);

create table consumer_cursor (
  consumer text not null,
  shard smallint not null,
  seq bigint not null,
  moves bigint not null default 0,
  constraint consumer_cursor_pkey PRIMARY KEY (consumer, shard)
);

create table dead_letter (
  consumer text not null,
  shard smallint not null,
  seq bigint not null,
  error text not null,
  attempts integer not null,
  entry jsonb not null,
  failed_at timestamp(3) with time zone not null default now(),
  constraint dead_letter_pkey PRIMARY KEY (consumer, shard, seq)
);

create table deliveries (
  id uuid not null,
  kind text not null,
  dedupe_key text not null,
  payload jsonb not null,
  state text not null default 'waiting'::text,
  attempts integer not null default 0,
  next_at timestamp(3) with time zone not null default now(),
  lease_until timestamp(3) with time zone,
  fence bigint not null default 0,
  last_error text,
  created_at timestamp(3) with time zone not null default now(),
  ended_at timestamp(3) with time zone,
  traceparent text,
  constraint deliveries_pkey PRIMARY KEY (id),
  constraint deliveries_once UNIQUE (dedupe_key),
  constraint deliveries_end_with_a_time CHECK ((ended_at IS NOT NULL) = (state = ANY (ARRAY['done'::text, 'failed'::text]))),
  constraint deliveries_state_is_known CHECK (state = ANY (ARRAY['waiting'::text, 'queued'::text, 'running'::text, 'done'::text, 'failed'::text]))
);

create table due_soon_reminders (
  task_id uuid not null,
  recipient_id uuid not null,
  check_at timestamp(3) with time zone not null,
  constraint due_soon_reminders_pkey PRIMARY KEY (task_id)
);

create table feed (
  shard smallint not null,
  seq bigint not null,
  at timestamp(3) with time zone not null,
  scope text not null,
  type text not null,
  entity_id uuid,
  version bigint not null,
  actor_id uuid,
  op text,
  control jsonb,
  changes jsonb,
  quiet boolean not null default false,
  frame text,
  override boolean not null default false,
  constraint feed_pkey PRIMARY KEY (shard, seq, at),
  constraint feed_quiet_has_no_frame CHECK (NOT quiet OR frame IS NULL)
) partition by RANGE (at);

create table feed_head (
  shard smallint not null,
  epoch text not null,
  seq bigint not null default 0,
  constraint feed_head_pkey PRIMARY KEY (shard)
) with (autovacuum_vacuum_scale_factor=0.01, fillfactor=10);

create table feed_origin (
  only_row boolean not null default true,
  system_identifier text not null,
  timeline integer not null,
  constraint feed_origin_pkey PRIMARY KEY (only_row),
  constraint feed_origin_is_one_row CHECK (only_row)
);

create table file_deletions (
  key text not null,
  created_at timestamp(3) with time zone not null default now(),
  queued_at timestamp(3) with time zone,
  again_at timestamp(3) with time zone,
  constraint file_deletions_pkey PRIMARY KEY (key)
);

create table file_sweeps (
  id uuid not null,
  finished_at timestamp(3) with time zone not null default now(),
  report jsonb not null,
  constraint file_sweeps_pkey PRIMARY KEY (id)
);

create table idempotency_keys (
  user_id uuid not null,
  method text not null,
  path text not null,
  key text not null,
  fingerprint bytea not null,
  status smallint,
  headers jsonb,
  body text,
  created_at timestamp(3) with time zone not null default now(),
  subject jsonb,
  texts jsonb,
  constraint idempotency_keys_pkey PRIMARY KEY (user_id, method, path, key)
);

create table mail_notices (
  id uuid not null,
  window_id uuid not null,
  user_id uuid not null,
  notification_id uuid,
  kind text not null,
  task_id uuid,
  project_id uuid,
  actor_id uuid,
  data jsonb not null,
  created_at timestamp(3) with time zone not null,
  constraint mail_notices_pkey PRIMARY KEY (id)
);

create table mail_windows (
  user_id uuid not null,
  id uuid not null,
  closes_at timestamp(3) with time zone not null,
  constraint mail_windows_pkey PRIMARY KEY (user_id)
);

create table members (
  project_id uuid not null,
  user_id uuid not null,
  role text not null,
  created_at timestamp(3) with time zone not null default now(),
  constraint members_pkey PRIMARY KEY (project_id, user_id),
  constraint members_role_is_known CHECK (role = ANY (ARRAY['owner'::text, 'editor'::text, 'viewer'::text]))
);

create table notification_preferences (
  user_id uuid not null,
  due_soon_hours smallint not null default 24,
  silenced jsonb not null default '{}'::jsonb,
  updated_at timestamp(3) with time zone not null default now(),
  constraint notification_preferences_pkey PRIMARY KEY (user_id),
  constraint notification_preferences_hours_are_a_week CHECK (due_soon_hours >= 1 AND due_soon_hours <= 168)
);

create table notifications (
  id uuid not null,
  user_id uuid not null,
  kind text not null,
  task_id uuid,
  project_id uuid,
  actor_id uuid,
  data jsonb not null default '{}'::jsonb,
  dedupe_key text not null,
  read_at timestamp(3) with time zone,
  created_at timestamp(3) with time zone not null default now(),
  constraint notifications_pkey PRIMARY KEY (id),
  constraint notifications_once UNIQUE (user_id, dedupe_key),
  constraint notifications_kind_is_known CHECK (kind = ANY (ARRAY['assigned'::text, 'shared'::text, 'mentioned'::text, 'commented'::text, 'completed'::text, 'due_soon'::text, 'overdue'::text, 'project_invited'::text]))
);

create table personal_tokens (
  id uuid not null,
  user_id uuid not null,
  name text not null,
  token_hash bytea not null,
  scopes text[] not null,
  expires_at timestamp(3) with time zone,
  last_used_at timestamp(3) with time zone,
  revoked_at timestamp(3) with time zone,
  created_at timestamp(3) with time zone not null default now(),
  constraint personal_tokens_pkey PRIMARY KEY (id),
  constraint personal_tokens_hash_key UNIQUE (token_hash),
  constraint personal_tokens_scopes_are_known CHECK (scopes <@ ARRAY['read'::text, 'write'::text] AND cardinality(scopes) > 0)
);

create table project_completions (
  project_id uuid not null,
  quarter timestamp(0) with time zone not null,
  count integer not null,
  constraint project_completions_pkey PRIMARY KEY (project_id, quarter)
) with (fillfactor=70);

create table project_statistics (
  project_id uuid not null,
  todo integer not null default 0,
  in_progress integer not null default 0,
  done integer not null default 0,
  cancelled integer not null default 0,
  low integer not null default 0,
  medium integer not null default 0,
  high integer not null default 0,
  urgent integer not null default 0,
  is_changed boolean not null default false,
  announced_at timestamp(3) with time zone not null default '-infinity'::timestamp with time zone,
  constraint project_statistics_pkey PRIMARY KEY (project_id)
) with (fillfactor=50);

create table project_tag_counts (
  project_id uuid not null,
  tag text not null,
  count integer not null,
  constraint project_tag_counts_pkey PRIMARY KEY (project_id, tag)
) with (fillfactor=70);

create table projects (
  id uuid not null,
  kind text not null default 'project'::text,
  inbox_of uuid,
  name text not null,
  description text not null default ''::text,
  color text,
  member_count integer not null default 1,
  archived_at timestamp(3) with time zone,
  version bigint not null default 1,
  content_version bigint not null default 1,
  created_at timestamp(3) with time zone not null default now(),
  updated_at timestamp(3) with time zone not null default now(),
  constraint projects_pkey PRIMARY KEY (id),
  constraint projects_inbox_of_key UNIQUE (inbox_of),
  constraint projects_inbox_has_one_person CHECK ((kind = 'inbox'::text) = (inbox_of IS NOT NULL)),
  constraint projects_kind_is_known CHECK (kind = ANY (ARRAY['inbox'::text, 'project'::text]))
);

create table refresh_tokens (
  token_hash bytea not null,
  session_id uuid not null,
  spent_at timestamp(3) with time zone,
  expires_at timestamp(3) with time zone not null,
  constraint refresh_tokens_pkey PRIMARY KEY (token_hash)
);

create table scope_head (
  scope text not null,
  seq bigint not null,
  constraint scope_head_pkey PRIMARY KEY (scope)
) with (fillfactor=50);

create table sessions (
  id uuid not null,
  user_id uuid not null,
  user_agent text not null default ''::text,
  ip text not null default ''::text,
  created_at timestamp(3) with time zone not null default now(),
  last_seen_at timestamp(3) with time zone not null default now(),
  expires_at timestamp(3) with time zone not null,
  revoked_at timestamp(3) with time zone,
  constraint sessions_pkey PRIMARY KEY (id)
);

create table shares (
  task_id uuid not null,
  user_id uuid not null,
  permission text not null,
  created_at timestamp(3) with time zone not null default now(),
  constraint shares_pkey PRIMARY KEY (task_id, user_id),
  constraint shares_permission_is_known CHECK (permission = ANY (ARRAY['view'::text, 'edit'::text]))
);

create table statistics_checks (
  night date not null,
  projects integer not null default 0,
  drifted integer not null default 0,
  started_at timestamp(3) with time zone not null default now(),
  finished_at timestamp(3) with time zone,
  constraint statistics_checks_pkey PRIMARY KEY (night)
);

create table task_tombstones (
  id uuid not null,
  deleted_at timestamp(3) with time zone not null default now(),
  constraint task_tombstones_pkey PRIMARY KEY (id)
);

create table tasks (
  id uuid not null,
  project_id uuid not null,
  parent_id uuid,
  title text not null,
  description text not null default ''::text,
  status text not null default 'todo'::text,
  priority text not null default 'medium'::text,
  assignee_id uuid,
  creator_id uuid,
  due_at timestamp(3) with time zone,
  tags text[] not null default '{}'::text[],
  rank text collate "C" not null,
  completed_at timestamp(3) with time zone,
  comment_count integer not null default 0,
  attachment_count integer not null default 0,
  version bigint not null default 1,
  content_version bigint not null default 1,
  due_rev integer not null default 1,
  overdue_rev integer not null default 0,
  document tsvector not null generated always as (task_document(title, description, tags)) stored,
  created_at timestamp(3) with time zone not null default now(),
  updated_at timestamp(3) with time zone not null default now(),
  title_key text collate "C",
  words tsvector,
  words_version bigint,
  due_soon_rev integer not null default 0,
  constraint tasks_pkey PRIMARY KEY (id),
  constraint tasks_done_is_completed CHECK ((status = 'done'::text) = (completed_at IS NOT NULL)),
  constraint tasks_is_not_its_own_parent CHECK (parent_id <> id),
  constraint tasks_priority_is_known CHECK (priority = ANY (ARRAY['low'::text, 'medium'::text, 'high'::text, 'urgent'::text])),
  constraint tasks_status_is_known CHECK (status = ANY (ARRAY['todo'::text, 'in_progress'::text, 'done'::text, 'cancelled'::text]))
);

create table users (
  id uuid not null,
  email text not null,
  name text not null,
  role text not null default 'user'::text,
  password_hash text,
  time_zone text not null default 'UTC'::text,
  email_verified_at timestamp(3) with time zone,
  disabled_at timestamp(3) with time zone,
  created_at timestamp(3) with time zone not null default now(),
  updated_at timestamp(3) with time zone not null default now(),
  name_key text collate "C",
  name_key_of text,
  avatar_key text,
  avatar_type text,
  constraint users_pkey PRIMARY KEY (id),
  constraint users_email_key UNIQUE (email),
  constraint users_email_is_lower_case CHECK (email = lower(email)),
  constraint users_role_is_known CHECK (role = ANY (ARRAY['user'::text, 'admin'::text]))
);

create table feed_default partition of feed default;

CREATE INDEX account_links_email_idx ON account_links USING btree (email, kind);

CREATE INDEX account_links_expires_idx ON account_links USING btree (expires_at);

CREATE INDEX account_links_invitations_idx ON account_links USING btree (id) WHERE kind = 'invitation'::text;

CREATE INDEX account_links_inviter_idx ON account_links USING btree (inviter_id) WHERE inviter_id IS NOT NULL;

CREATE INDEX account_links_user_idx ON account_links USING btree (user_id) WHERE user_id IS NOT NULL;

CREATE UNIQUE INDEX activity_override_read_key ON activity USING btree (project_id, actor_id, date_trunc('hour'::text, (created_at AT TIME ZONE 'UTC'::text))) WHERE type = 'project.read'::text;

CREATE INDEX activity_project_actor_idx ON activity USING btree (project_id, actor_id, type, id);

CREATE INDEX activity_project_idx ON activity USING btree (project_id, id);

CREATE INDEX activity_project_type_idx ON activity USING btree (project_id, type, id);

CREATE INDEX activity_task_idx ON activity USING btree (task_id, id) WHERE task_id IS NOT NULL;

CREATE INDEX attachments_expires_idx ON attachments USING btree (expires_at) WHERE expires_at IS NOT NULL;

CREATE INDEX attachments_missing_idx ON attachments USING btree (missing_since) WHERE missing_since IS NOT NULL;

CREATE INDEX attachments_ready_size_idx ON attachments USING btree (size) WHERE state = 'ready'::text;

CREATE INDEX attachments_task_created_idx ON attachments USING btree (task_id, created_at, id);

CREATE UNIQUE INDEX attachments_upload_key_once ON attachments USING btree (upload_key) WHERE upload_key IS NOT NULL;

CREATE INDEX attachments_uploader_idx ON attachments USING btree (uploader_id) INCLUDE (size) WHERE uploader_id IS NOT NULL;

CREATE INDEX comments_author_idx ON comments USING btree (author_id) WHERE author_id IS NOT NULL;

CREATE INDEX comments_task_author_idx ON comments USING btree (task_id, author_id, created_at, id) WHERE author_id IS NOT NULL;

CREATE INDEX comments_task_created_idx ON comments USING btree (task_id, created_at, id);

CREATE INDEX deliveries_done_idx ON deliveries USING btree ((
CASE
    WHEN state = 'done'::text THEN ended_at
    ELSE NULL::timestamp with time zone
END));

CREATE INDEX deliveries_failed_idx ON deliveries USING btree ((
CASE
    WHEN state = 'failed'::text THEN ended_at
    ELSE NULL::timestamp with time zone
END));

CREATE INDEX deliveries_in_flight_idx ON deliveries USING btree (kind, next_at) WHERE state = ANY (ARRAY['queued'::text, 'running'::text]);

CREATE INDEX deliveries_next_idx ON deliveries USING btree (kind, next_at) WHERE state = 'waiting'::text;

CREATE INDEX due_soon_reminders_check_idx ON due_soon_reminders USING btree (check_at);

CREATE INDEX due_soon_reminders_recipient_idx ON due_soon_reminders USING btree (recipient_id);

CREATE INDEX feed_access_idx ON feed USING btree (scope, seq) WHERE control IS NOT NULL OR type = 'member.added'::text;

CREATE INDEX feed_scope_idx ON feed USING btree (scope, seq);

CREATE INDEX file_deletions_created_idx ON file_deletions USING btree (created_at, key);

CREATE INDEX file_deletions_unqueued_idx ON file_deletions USING btree (created_at, key) WHERE queued_at IS NULL;

CREATE INDEX idempotency_keys_created_idx ON idempotency_keys USING btree (created_at);

CREATE INDEX mail_notices_created_idx ON mail_notices USING btree (created_at);

CREATE INDEX mail_notices_user_idx ON mail_notices USING btree (user_id);

CREATE INDEX mail_notices_window_idx ON mail_notices USING btree (window_id, created_at, id);

CREATE INDEX members_user_idx ON members USING btree (user_id, project_id);

CREATE INDEX notifications_read_idx ON notifications USING btree (read_at) WHERE read_at IS NOT NULL;

CREATE INDEX notifications_unread_idx ON notifications USING btree (user_id) WHERE read_at IS NULL;

CREATE INDEX notifications_user_created_idx ON notifications USING btree (user_id, created_at, id);

CREATE INDEX personal_tokens_ended_idx ON personal_tokens USING btree (LEAST(revoked_at, expires_at));

CREATE INDEX personal_tokens_user_idx ON personal_tokens USING btree (user_id, created_at, id) WHERE revoked_at IS NULL;

CREATE INDEX project_statistics_changed_idx ON project_statistics USING btree (announced_at) WHERE is_changed;

CREATE INDEX refresh_tokens_expires_idx ON refresh_tokens USING btree (expires_at);

CREATE INDEX refresh_tokens_session_idx ON refresh_tokens USING btree (session_id);

CREATE INDEX sessions_ended_idx ON sessions USING btree (LEAST(revoked_at, expires_at));

CREATE INDEX sessions_user_created_idx ON sessions USING btree (user_id, created_at);

CREATE INDEX sessions_user_idx ON sessions USING btree (user_id) WHERE revoked_at IS NULL;

CREATE INDEX shares_user_idx ON shares USING btree (user_id, task_id);

CREATE INDEX tasks_assignee_idx ON tasks USING btree (assignee_id, created_at, id) WHERE assignee_id IS NOT NULL;

CREATE INDEX tasks_creator_idx ON tasks USING btree (creator_id, created_at, id);

CREATE INDEX tasks_due_soon_idx ON tasks USING btree (due_at) WHERE due_at IS NOT NULL AND (status = ANY (ARRAY['todo'::text, 'in_progress'::text])) AND due_soon_rev < due_rev;

CREATE INDEX tasks_overdue_idx ON tasks USING btree (due_at) WHERE due_at IS NOT NULL AND (status = ANY (ARRAY['todo'::text, 'in_progress'::text])) AND overdue_rev < due_rev;

CREATE INDEX tasks_parent_idx ON tasks USING btree (parent_id) WHERE parent_id IS NOT NULL;

CREATE INDEX tasks_project_created_idx ON tasks USING btree (project_id, created_at, id);

CREATE INDEX tasks_project_due_idx ON tasks USING btree (project_id, due_at, id);

CREATE INDEX tasks_project_open_due_idx ON tasks USING btree (project_id, due_at) WHERE due_at IS NOT NULL AND (status = ANY (ARRAY['todo'::text, 'in_progress'::text]));

CREATE INDEX tasks_project_priority_idx ON tasks USING btree (project_id, array_position(ARRAY['low'::text, 'medium'::text, 'high'::text, 'urgent'::text], priority), id);

CREATE INDEX tasks_project_rank_idx ON tasks USING btree (project_id, rank, id);

CREATE INDEX tasks_project_status_idx ON tasks USING btree (project_id, array_position(ARRAY['todo'::text, 'in_progress'::text, 'done'::text, 'cancelled'::text], status), id);

CREATE INDEX tasks_project_title_key_idx ON tasks USING btree (project_id, COALESCE(title_key, lower(title)), id);

CREATE INDEX tasks_project_updated_idx ON tasks USING btree (project_id, updated_at, id);

CREATE INDEX tasks_without_words_idx ON tasks USING btree (id) WHERE words IS NULL;

CREATE INDEX tasks_words_idx ON tasks USING gin (words) WITH (gin_pending_list_limit='256');

CREATE UNIQUE INDEX users_avatar_key_once ON users USING btree (avatar_key) WHERE avatar_key IS NOT NULL;

CREATE INDEX users_name_idx ON users USING btree (lower(name) COLLATE "C", id);

alter table account_links
  add constraint account_links_inviter_fkey FOREIGN KEY (inviter_id) REFERENCES users(id) ON DELETE SET NULL;

alter table account_links
  add constraint account_links_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table attachments
  add constraint attachments_task_fkey FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

alter table attachments
  add constraint attachments_uploader_fkey FOREIGN KEY (uploader_id) REFERENCES users(id) ON DELETE SET NULL;

alter table comments
  add constraint comments_author_fkey FOREIGN KEY (author_id) REFERENCES users(id) ON DELETE SET NULL;

alter table comments
  add constraint comments_task_fkey FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

alter table due_soon_reminders
  add constraint due_soon_reminders_task_fkey FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

alter table idempotency_keys
  add constraint idempotency_keys_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table mail_notices
  add constraint mail_notices_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table mail_windows
  add constraint mail_windows_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table members
  add constraint members_project_fkey FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE;

alter table members
  add constraint members_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table notification_preferences
  add constraint notification_preferences_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table notifications
  add constraint notifications_actor_fkey FOREIGN KEY (actor_id) REFERENCES users(id) ON DELETE SET NULL;

alter table notifications
  add constraint notifications_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table personal_tokens
  add constraint personal_tokens_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table projects
  add constraint projects_inbox_of_fkey FOREIGN KEY (inbox_of) REFERENCES users(id) ON DELETE CASCADE;

alter table refresh_tokens
  add constraint refresh_tokens_session_fkey FOREIGN KEY (session_id) REFERENCES sessions(id) ON DELETE CASCADE;

alter table sessions
  add constraint sessions_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table shares
  add constraint shares_task_fkey FOREIGN KEY (task_id) REFERENCES tasks(id) ON DELETE CASCADE;

alter table shares
  add constraint shares_user_fkey FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE;

alter table tasks
  add constraint tasks_assignee_fkey FOREIGN KEY (assignee_id) REFERENCES users(id) ON DELETE SET NULL;

alter table tasks
  add constraint tasks_creator_fkey FOREIGN KEY (creator_id) REFERENCES users(id) ON DELETE SET NULL;

alter table tasks
  add constraint tasks_parent_fkey FOREIGN KEY (parent_id) REFERENCES tasks(id) ON DELETE CASCADE;

alter table tasks
  add constraint tasks_project_fkey FOREIGN KEY (project_id) REFERENCES projects(id) ON DELETE CASCADE;

CREATE TRIGGER attachments_list_deleted_object AFTER DELETE ON attachments FOR EACH ROW EXECUTE FUNCTION list_deleted_object();

CREATE TRIGGER attachments_list_replaced_object AFTER UPDATE OF storage_key, upload_key ON attachments FOR EACH ROW WHEN (old.storage_key IS DISTINCT FROM new.storage_key OR old.upload_key IS DISTINCT FROM new.upload_key) EXECUTE FUNCTION list_replaced_object();

CREATE TRIGGER consumer_cursor_install_profile_changes AFTER INSERT ON consumer_cursor FOR EACH ROW WHEN (new.consumer = 'notifications'::text) EXECUTE FUNCTION install_profile_changes();

CREATE TRIGGER consumer_cursor_move_profile_changes AFTER UPDATE OF seq ON consumer_cursor FOR EACH ROW WHEN (new.consumer = 'notifications'::text AND new.moves = old.moves) EXECUTE FUNCTION move_profile_changes();

CREATE TRIGGER tasks_forget_words BEFORE UPDATE OF title, description, tags, project_id ON tasks FOR EACH ROW WHEN (new.words IS NOT NULL AND NOT new.words_version IS DISTINCT FROM old.words_version AND (old.title IS DISTINCT FROM new.title OR old.description IS DISTINCT FROM new.description OR old.tags IS DISTINCT FROM new.tags OR old.project_id IS DISTINCT FROM new.project_id)) EXECUTE FUNCTION forget_task_words();

CREATE TRIGGER tasks_wake_due_soon_reminder AFTER UPDATE OF assignee_id ON tasks FOR EACH ROW WHEN (old.assignee_id IS DISTINCT FROM new.assignee_id AND new.due_at IS NOT NULL) EXECUTE FUNCTION wake_due_soon_reminder();

CREATE TRIGGER users_list_deleted_avatar AFTER DELETE ON users FOR EACH ROW WHEN (old.avatar_key IS NOT NULL) EXECUTE FUNCTION list_deleted_avatar();

CREATE TRIGGER users_list_replaced_avatar AFTER UPDATE OF avatar_key ON users FOR EACH ROW WHEN (old.avatar_key IS DISTINCT FROM new.avatar_key AND old.avatar_key IS NOT NULL) EXECUTE FUNCTION list_deleted_avatar();
