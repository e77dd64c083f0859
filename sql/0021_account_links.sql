-- phase: expand
-- Links that are sent by mail: resets of passwords, verifications of addresses, invitations. A new table, so nothing
-- that runs is locked. No secret is in it: a link's token is derived from its id under a key of the server.
create table account_links (
  id uuid constraint account_links_pkey primary key,
  kind text not null,
  -- The address the mail goes to, canonical; the link counts for it alone.
  email text not null,
  -- The account it is for. Of a reset null until the mail is sent: the request does not look whether there is one.
  user_id uuid constraint account_links_user_fkey references users (id) on delete cascade,
  inviter_id uuid constraint account_links_inviter_fkey references users (id) on delete set null,
  created_at timestamptz(3) not null default now(),
  expires_at timestamptz(3) not null,
  used_at timestamptz(3),
  constraint account_links_kind_is_known check (kind in ('password_reset', 'verification', 'invitation'))
);

create index account_links_email_idx on account_links (email, kind);
create index account_links_user_idx on account_links (user_id) where user_id is not null;
create index account_links_inviter_idx on account_links (inviter_id) where inviter_id is not null;
create index account_links_expires_idx on account_links (expires_at);
create index account_links_invitations_idx on account_links (id) where kind = 'invitation';
