// What PostgreSQL alone does with the statements a created and a changed task come to: the row, its entry and the two
// heads in one prepared statement, over TCP like the server's. The tool is not required: without it these rows say so.
import { readdirSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { percentilesOf, type Percentiles } from '../statistics.ts'

/** The program's path, or null. */
export const findPgbench = (): string | null => {
  const onPath = Bun.which('pgbench')
  // Debian's wrapper answers only where a server package is installed too.
  if (onPath && Bun.spawnSync([onPath, '--version']).exitCode === 0) return onPath
  try {
    const versions = readdirSync('/usr/lib/postgresql').toSorted()
    return (
      versions
        .map((version) => join('/usr/lib/postgresql', version, 'bin/pgbench'))
        .find((path) => Bun.file(path).size > 0) ?? null
    )
  } catch {
    return null
  }
}

export interface PgbenchTarget {
  program: string
  databaseUrl: string
  /** Of the same users: a project of each, with its shard, and the tasks that are changed. */
  projects: { id: string; shard: number }[]
  taskIds: string[]
}

const arrayOf = (values: (string | number)[], type: string): string => `('{${values.join(',')}}'::${type}[])`

/** The entry of a task and the heads of its shard and its scope. `frame` is as long as a real one. */
const entry = (type: string): string => `
scope as (
  insert into scope_head (scope, seq) select 'project:' || task.project_id, seq from head, task
  on conflict (scope) do update set seq = excluded.seq
)
insert into feed (shard, seq, at, scope, type, entity_id, version, frame)
select head.shard, head.seq, clock_timestamp(), 'project:' || task.project_id, '${type}', task.id, task.version, repeat('x', 750)
from head, task;
`

const words = (project: string, texts: string): string =>
  `array_to_tsvector(array(select right(${project}::text, 8) || w from unnest(array[${texts}]) w))`

const createScript = ({ projects }: PgbenchTarget): string => {
  const project = `${arrayOf(
    projects.map(({ id }) => id),
    'uuid',
  )}[:user]`
  const shard = `${arrayOf(
    projects.map((one) => one.shard),
    'int',
  )}[:user]`
  return `
\\set user random(1, ${projects.length})
with head as (
  update feed_head set seq = seq + 1 where shard = ${shard} returning shard, seq
), task as (
  insert into tasks (id, project_id, title, title_key, tags, words, words_version, creator_id, rank)
  select gen_random_uuid(), p.id, 'Measure what the log costs', 'measure what the log costs', '{bench}',
    ${words('p.id', "'measure','what','the','log','costs','bench','#bench'")}, 1,
    (select user_id from members where project_id = p.id and role = 'owner' limit 1), 'b' || md5(random()::text)
  from projects p where p.id = ${project}
  returning id, project_id, version
), ${entry('task.created')}`
}

const changeScript = ({ projects, taskIds }: PgbenchTarget): string => `
\\set task random(1, ${taskIds.length})
\\set number random(1, 1000000000)
with found as (
  select id, project_id from tasks where id = ${arrayOf(taskIds, 'uuid')}[:task] for no key update
), task as (
  update tasks t set title = 'Measured ' || :number, title_key = 'measured ' || :number,
    words = ${words('t.project_id', "'measured', (:number)::text, 'bench', '#bench'")},
    words_version = version + 1, version = version + 1, content_version = version + 1,
    updated_at = statement_timestamp()
  from found where t.id = found.id
  returning t.id, t.project_id, t.version
), head as (
  update feed_head set seq = seq + 1
  where shard = ${arrayOf(
    taskIds.map((_, index) => projects[index % projects.length]!.shard),
    'int',
  )}[:task] returning shard, seq
), ${entry('task.updated')}`

export type PgbenchScript = 'create' | 'change'
const scripts = { create: createScript, change: changeScript }

export interface PgbenchResult {
  perSecond: number
  latency: Percentiles
  failed: number
  answered: number
  generatorCpuMs: number
}

/** @param clients as many connections as the server's pool has. */
export const runPgbench = async (
  target: PgbenchTarget,
  script: PgbenchScript,
  { clients, seconds }: { clients: number; seconds: number },
): Promise<PgbenchResult> => {
  const folder = await mkdtemp(join(tmpdir(), 'tide-pgbench-'))
  try {
    await Bun.write(join(folder, 'script.sql'), scripts[script](target))
    const options = ['-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-l', '--log-prefix=times']
    const child = Bun.spawn(
      [
        target.program,
        ...options,
        '-T',
        String(Math.max(1, Math.round(seconds))),
        '-f',
        'script.sql',
        target.databaseUrl,
      ],
      { cwd: folder, stdout: 'pipe', stderr: 'pipe' },
    )
    const [text, fault] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    if ((await child.exited) !== 0) throw new Error(`pgbench failed: ${fault}`)
    const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN)
    return {
      perSecond: number(/tps = ([\d.]+)/),
      latency: percentilesOf(await timesIn(folder)),
      failed: number(/failed transactions: (\d+)/),
      answered: number(/transactions actually processed: (\d+)/),
      generatorCpuMs: Number(child.resourceUsage()!.cpuTime.total) / 1000,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Milliseconds of each transaction; the third field of a line is microseconds. */
const timesIn = async (folder: string): Promise<number[]> => {
  const times: number[] = []
  for (const name of (await readdir(folder)).filter((one) => one.startsWith('times'))) {
    for (const line of (await Bun.file(join(folder, name)).text()).split('\n'))
      if (line) times.push(Number(line.split(' ')[2]) / 1000)
  }
  return times
}
