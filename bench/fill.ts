// Rows by SQL where REST would take minutes: tasks with all their real columns, the words of searches too. Secondary
// indexes are built after a large fill, which takes a third of the time; they are the same indexes.
import { SQL } from 'bun'
import type { Person } from './people.ts'

/** From this number on the indexes are dropped first. */
const largeFill = 100_000

/** Fills `person`'s project with `count` more tasks, spread over ranks, tags, priorities and times. */
export const fillTasks = async (
  databaseUrl: string,
  { userId, projectId }: Pick<Person, 'userId' | 'projectId'>,
  count: number,
): Promise<void> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const insert = (): Promise<unknown> => sql`
    insert into tasks (
      id, project_id, creator_id, title, title_key, priority, status, completed_at, due_at, tags, words, words_version,
      rank, created_at, updated_at)
    select
      (lpad(to_hex(extract(epoch from at)::bigint * 1000 + n % 1000), 12, '0') || '7' || substr(md5(random()::text), 1, 3)
        || '8' || substr(md5(random()::text), 1, 15))::uuid,
      ${projectId}::uuid, ${userId}::uuid, 'Item ' || n || ' of the list', 'item ' || n || ' of the list',
      (array['low', 'medium', 'high', 'urgent'])[1 + n % 4], case when n % 5 = 0 then 'done' else 'todo' end,
      case when n % 5 = 0 then at end, case when n % 3 = 0 then at + interval '400 days' end, array['t' || n % 10],
      array_to_tsvector(array(
        select distinct right(${projectId}::text, 8) || w
        from unnest(array['item', n::text, 'of', 'the', 'list', 't' || n % 10, '#t' || n % 10]) w)), 1,
      'b' || lpad(n::text, 9, '0'), at, at
    from (
      select n, now() - interval '30 days' + n * interval '1 second' as at from generate_series(1, ${count}::int) n
    ) numbered`
  if (count < largeFill) await insert()
  else await withoutIndexes(sql, insert)
  await sql`analyze tasks`
}

/** Drops what only speeds up reads, runs the work, and builds it again. */
const withoutIndexes = async (sql: SQL, work: () => Promise<unknown>): Promise<void> => {
  await sql`set maintenance_work_mem = '512MB'`
  await sql`
    create temporary table dropped_index as
    select indexname as name, indexdef as definition from pg_indexes
    where schemaname = 'public' and tablename = 'tasks' and indexname <> 'tasks_pkey'`
  await sql`
    do $$ declare one record; begin
      for one in select name from dropped_index loop execute format('drop index %I', one.name); end loop;
    end $$`
  await work()
  await sql`
    do $$ declare one record; begin
      for one in select definition from dropped_index loop execute one.definition; end loop;
    end $$`
}

/** The users, projects and tasks of `people` under the same ids, in a database that has only the schema. */
export const copyUsers = async (databaseUrl: string, people: readonly Person[]): Promise<void> => {
  await using sql = new SQL({ url: databaseUrl, max: 1 })
  const rows = JSON.stringify(people)
  await sql`
    insert into users (id, email, name, password_hash)
    select "userId"::uuid, "userId" || '@example.com', 'Bench', 'none'
    from json_to_recordset(${rows}::text::json) as i ("userId" text)`
  await sql`
    insert into projects (id, name)
    select "projectId"::uuid, 'Bench' from json_to_recordset(${rows}::text::json) as i ("projectId" text)`
  await sql`
    insert into members (project_id, user_id, role)
    select "projectId"::uuid, "userId"::uuid, 'owner'
    from json_to_recordset(${rows}::text::json) as i ("projectId" text, "userId" text)`
  await sql`
    insert into tasks (id, project_id, creator_id, title, title_key, tags, words, words_version, rank)
    select task.id::uuid, "projectId"::uuid, "userId"::uuid, 'Task of the bench', 'task of the bench', '{bench}',
      array_to_tsvector(array(select right("projectId", 8) || w from unnest(array['task', 'of', 'the', 'bench']) w)), 1,
      'b' || lpad(task.n::text, 9, '0')
    from json_to_recordset(${rows}::text::json) as i ("projectId" text, "userId" text, "taskIds" json),
      json_array_elements_text("taskIds") with ordinality as task (id, n)`
}
