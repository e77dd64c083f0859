// The end of a history: the log and the rows of the recorded projects, read from PostgreSQL after everything came to rest.
import type { Database } from '../../src/db/client.ts'
import { taskColumns } from '../../src/db/tasks/task-columns.ts'
import type { Task } from '../../src/model/task.ts'
import { canonical, type Final, type FinalView, type LogFact } from './history.ts'

interface Row {
  shard: number
  seq: number
  scope: string
  type: string
  entity: string | null
  version: number
  actor: string | null
  key: string | null
  quiet: boolean
  frame: string | null
  control: { kind: string; userId?: string } | null
}

/** @param views the live views, settled. */
export const readFinal = async (
  db: Database,
  projects: Iterable<string>,
  views: FinalView[],
): Promise<Final> => {
  const ids = [...projects]
  return db.snapshot(async (tx) => {
    const rows = await tx<Row[]>`
      select shard, seq, scope, type, entity_id as entity, version, actor_id as actor, op as key, quiet, frame, control
      from feed where scope = any(${ids.map((id) => `project:${id}`)}) order by shard, seq`
    const tasks = await tx<Task[]>`
      select ${taskColumns(tx)} from tasks t where project_id = any(${ids}::uuid[])`
    return {
      log: rows.map(factOf),
      tasks: tasks.map((row) => ({
        task: row.id,
        project: row.projectId,
        version: row.version,
        content: canonical({ ...row }),
      })),
      views,
    }
  })
}

const factOf = (row: Row): LogFact => {
  const { shard, seq, scope, type, entity, version, actor, key, quiet, frame, control } = row
  const parsed = frame === null ? null : JSON.parse(frame)
  const hasContent = type.startsWith('task.') && parsed?.data && !parsed.omitted
  return {
    scope,
    position: { shard, seq },
    type,
    entity,
    version,
    actor,
    key,
    content: hasContent ? canonical(parsed.data) : null,
    changed: parsed?.changed ?? null,
    revokes: control?.kind === 'revoke' ? (control.userId ?? null) : null,
    isLoud: frame !== null,
    isQuiet: quiet,
  }
}
