-- phase: expand
-- A PUT whose answer is late or lost may be carried out by the store after the upload was given up and its key deleted. So the
-- object of an upload that did not end is deleted a second time, two hours later, as those of direct uploads are, whose URL
-- stays valid. The same for avatars, of which nothing says how old they are.

-- A key that is listed once more may have been written to since: it is deleted at once and again.
create or replace function list_writable_objects(keys text[]) returns void language sql as $$
  insert into file_deletions (key, again_at)
  select key, now() + interval '2 hours' from unnest(keys) as key where key is not null
  on conflict (key) do update
    set queued_at = null, created_at = least(file_deletions.created_at, now()), again_at = excluded.again_at
$$;

create or replace function list_deleted_object() returns trigger language plpgsql as $$
begin
  if old.state <> 'ready' or old.upload_key is not null then
    perform list_writable_objects(array[old.storage_key, old.upload_key]);
  else
    insert into file_deletions (key) values (old.storage_key) on conflict do nothing;
  end if;
  return null;
end $$;

create or replace function list_deleted_avatar() returns trigger language plpgsql as $$
begin
  perform list_writable_objects(array[old.avatar_key]);
  return null;
end $$;
