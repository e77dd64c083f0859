// What the user sees who deletes a project: how long its files stay in the store.
import { eventually } from '../../support/eventually.ts'
import type { FilesArena } from './files-arena.ts'
import { contentOf } from './files-client.ts'

interface Deletion {
  /** Every fifth is stored past the server. */
  files: number
  /** How long the store is away from the deletion on. */
  awayMs: number
  /** Longest wait for the first and between two objects that go. */
  timeoutMs?: number
}

/** How many users upload at once. */
const lanes = 8

/**
 * Uploads files, deletes their project, and lists the bucket until nothing is in it that was not there before.
 * @returns milliseconds from the answer to the deletion on.
 */
export const emptyAfterDeletion = async (
  arena: FilesArena,
  { files, awayMs, timeoutMs = 60_000 }: Deletion,
): Promise<number> => {
  const { client, storage } = arena
  const list = async (): Promise<string[]> => (await Array.fromAsync(storage.list(''))).map(({ key }) => key)
  const before = new Set(await list())
  const project = await client.ask('POST', '/api/projects', { name: 'Many files' })
  const task = await client.ask('POST', '/api/tasks', { projectId: project.id, title: 'Many files' })
  const storeDirectly = async (): Promise<string | null> => {
    const name = crypto.randomUUID()
    const begun = await client.begin(task.id, name)
    if (!begun || !(await client.store(begun, contentOf(name)))) return null
    return (await client.complete(begun.id)) ? begun.id : null
  }
  let left = files
  const work = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const id = left % 5 === 0 ? await storeDirectly() : await client.upload(task.id)
      if (id === null) left += 1
    }
  }
  await Promise.all(Array.from({ length: lanes }, work))
  let shown = 0
  await eventually(
    async () => {
      shown = (await client.ask('GET', `/api/tasks/${task.id}`))?.attachmentCount ?? 0
      // More than asked for where an upload committed and its answer did not arrive in time.
      if (shown < files) throw new Error(`${shown} files are shown, not ${files}`)
    },
    { timeoutMs: 60_000, everyMs: 100, progress: () => shown },
  )
  if (awayMs > 0) arena.store.mode = 'away'
  if ((await client.remove(`/api/projects/${project.id}`)) === 0)
    throw new Error('the project is not deleted')
  const startedAt = performance.now()
  await Bun.sleep(awayMs)
  arena.store.mode = 'healthy'
  let count = files
  await eventually(
    async () => {
      count = (await list()).filter((key) => !before.has(key)).length
      if (count > 0) throw new Error(`${count} objects are left`)
    },
    { timeoutMs, everyMs: 250, progress: () => count },
  )
  return performance.now() - startedAt
}
