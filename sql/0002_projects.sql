-- Projects and who belongs to them. Everyone has one inbox, a project of kind 'inbox' that only they belong to.

create table projects (
  id uuid constraint projects_pkey primary key,
  kind text not null default 'project',
  inbox_of uuid constraint projects_inbox_of_key unique constraint projects_inbox_of_fkey references users on delete cascade,
  name text not null,
  description text not null default '',
  color text,
  member_count integer not null default 1,
  archived_at timestamptz(3),
  version bigint not null default 1,
  -- The version at which a writable field last changed: what If-Match is compared with, so that a counter that
  -- moved never fails somebody's edit.
  content_version bigint not null default 1,
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  constraint projects_kind_is_known check (kind in ('inbox', 'project')),
  constraint projects_inbox_has_one_person check ((kind = 'inbox') = (inbox_of is not null))
);

create table members (
  project_id uuid not null constraint members_project_fkey references projects on delete cascade,
  user_id uuid not null constraint members_user_fkey references users on delete cascade,
  role text not null,
  created_at timestamptz(3) not null default now(),
  constraint members_pkey primary key (project_id, user_id),
  constraint members_role_is_known check (role in ('owner', 'editor', 'viewer'))
);

create index members_user_idx on members (user_id, project_id);
