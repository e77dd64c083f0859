// What the user sees who deletes a project: how long its files stay in the store.
import { eventually } from '../../support/eventually.ts'
import type { FilesArena } from './files-arena.ts'

/** Uploads files, deletes their project, and waits for an empty store. @returns milliseconds from the deletion on. */
export const emptyAfterDeletion = async (
  arena: FilesArena,
  { files, awayMs }: { files: number; awayMs: number },
): Promise<number> => {
  const project = await arena.ask('POST', '/api/projects', { name: 'Many files' })
  const task = await arena.ask('POST', '/api/tasks', { projectId: project.id, title: 'Many files' })
  let left = files
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      if ((await arena.upload(task.id)) === null) left += 1
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
  const keys = async (): Promise<string[]> => {
    const rows = await arena.db.read(
      (sql) => sql<{ key: string }[]>`select storage_key as key from attachments where task_id = ${task.id}`,
    )
    return rows.map(({ key }) => key)
  }
  const own = new Set(await keys())
  // More than asked for where an upload committed and its answer did not arrive in time.
  if (own.size < files) throw new Error(`${own.size} files are stored, not ${files}`)
  if (awayMs > 0) arena.store.mode = 'away'
  const startedAt = performance.now()
  await arena.remove(`/api/projects/${project.id}`)
  await Bun.sleep(awayMs)
  arena.store.mode = 'healthy'
  let count = files
  await eventually(
    async () => {
      const stored = await Array.fromAsync(arena.storage.list('attachments/'))
      count = stored.filter(({ key }) => own.has(key)).length
      if (count > 0) throw new Error(`${count} objects are left`)
    },
    { timeoutMs: 60_000, everyMs: 250, progress: () => count },
  )
  return performance.now() - startedAt
}
