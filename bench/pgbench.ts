// The throughput of PostgreSQL alone with the statement of a created task: a row, its entry and the two heads, in one
// prepared statement, 16 clients. The tool is optional: without it the figure is left out, with a note.
import { readdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoadResult } from './load.ts'

const script = `
\\set user random(0, 49)
with head as (
  update feed_head set seq = seq + 1 where shard = :user % 16 returning shard, seq, epoch
), task as (
  insert into tasks (id, project_id, title, rank)
  select gen_random_uuid(), (select id from projects limit 1), 'Measure what the log costs', 'V'
  returning id, project_id
), scope as (
  insert into scope_head (scope, seq) select 'bench:' || :user, seq from head
  on conflict (scope) do update set seq = excluded.seq
)
insert into feed (shard, seq, at, scope, type, entity_id, version, frame)
select head.shard, head.seq, clock_timestamp(), 'bench:' || :user, 'task.created', task.id, 1, repeat('x', 600) from head, task;
`

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

export const runPgbench = async (
  program: string,
  databaseUrl: string,
  seconds: number,
): Promise<LoadResult> => {
  const folder = await mkdtemp(join(tmpdir(), 'tide-pgbench-'))
  try {
    const file = join(folder, 'post.sql')
    await Bun.write(file, script)
    const child = Bun.spawn(
      [
        program,
        '-n',
        '-M',
        'prepared',
        '-c',
        '16',
        '-j',
        '1',
        '-T',
        String(seconds),
        '-f',
        file,
        databaseUrl,
      ],
      { stdout: 'pipe', stderr: 'pipe' },
    )
    const [text, fault] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    if ((await child.exited) !== 0) throw new Error(`pgbench failed: ${fault}`)
    const number = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? Number.NaN)
    const latency = number(/latency average = ([\d.]+)/)
    return {
      perSecond: number(/tps = ([\d.]+)/),
      p50Ms: latency,
      p99Ms: Number.NaN,
      failed: number(/failed transactions: (\d+)/),
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
