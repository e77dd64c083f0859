-- phase: expand
-- The URL of a direct upload stays valid after its object was verified, so the object that is shown is a copy under a key
-- for which no URL was signed. `upload_key`: the object of the URL, while `storage_key` names the copy that is verified.
-- Until a worker begins, `storage_key` names the object of the URL, as the previous version expects.
alter table attachments add column upload_key text;

-- A client can store the object of a URL again after it was deleted, and a copy can end after its worker lost the job.
-- `again_at`: when such a key is listed for a second time; it becomes `created_at` with the first deletion.
alter table file_deletions add column again_at timestamptz(3);

-- Lists keys that a client or a worker that was late may still write to. A URL is valid for an hour, and a request that
-- begins in time may take another.
create function list_writable_objects(keys text[]) returns void language sql as $$
  insert into file_deletions (key, again_at)
  select key, now() + interval '2 hours' from unnest(keys) as key where key is not null
  on conflict do nothing
$$;

create or replace function list_deleted_object() returns trigger language plpgsql as $$
begin
  if old.state in ('waiting', 'verifying') or old.upload_key is not null then
    perform list_writable_objects(array[old.storage_key, old.upload_key]);
  else
    insert into file_deletions (key) values (old.storage_key) on conflict do nothing;
  end if;
  return null;
end $$;

create function list_replaced_object() returns trigger language plpgsql as $$
begin
  perform list_writable_objects(array(
    select key from unnest(array[old.storage_key, old.upload_key]) as key
    where key is distinct from new.storage_key and key is distinct from new.upload_key));
  return null;
end $$;

create trigger attachments_list_replaced_object
  after update of storage_key, upload_key on attachments
  for each row
  when (old.storage_key is distinct from new.storage_key or old.upload_key is distinct from new.upload_key)
  execute function list_replaced_object();
