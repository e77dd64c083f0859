// What users do with files while faults are injected: uploads through the server and past it, and deletions of attachments,
// tasks and projects, also while a direct upload is verified. What fails is tried no more.
import type { Database } from '../../../src/db/client.ts'
import type { Random } from '../../oracle/random.ts'
import { pause } from '../fault.ts'
import type { FilesCounts } from './counts.ts'
import { contentOf, otherContentOf, type FilesClient } from './files-client.ts'

/** How many users do the one and the other. */
export interface Lanes {
  uploads: number
  direct: number
}

export const usualLanes: Lanes = { uploads: 3, direct: 2 }

/** How long a direct upload may take until it is shown; later it is left as it is. */
const shownWithinMs = 3_000
/** And until the object of its signed URL is deleted. */
const deletedWithinMs = 5_000

interface TrafficDeps {
  client: FilesClient
  db: Database
  random: Random
  counts: FilesCounts
}

export class FilesTraffic {
  /** Attachments that were acknowledged, and whose removal was never asked for. */
  readonly kept = new Set<string>()

  constructor(private readonly deps: TrafficDeps) {}

  async run({ uploads, direct }: Lanes, signal: AbortSignal): Promise<void> {
    await Promise.all([
      ...Array.from({ length: uploads }, () => this.#inProjects(signal, (task) => this.#upload(task))),
      ...Array.from({ length: direct }, () => this.#inProjects(signal, (task) => this.#store(task, signal))),
    ])
  }

  /** In project after project. @param work @returns the attachments of the task that have to stay with it. */
  async #inProjects(signal: AbortSignal, work: (taskId: string) => Promise<string[]>): Promise<void> {
    const { client, random, counts } = this.deps
    while (!signal.aborted) {
      const project = await client.ask('POST', '/api/projects', { name: 'Files' })
      if (!project) continue
      const kept: string[] = []
      for (let n = 0; n < 4 && !signal.aborted; n += 1) {
        const task = await client.ask('POST', '/api/tasks', { projectId: project.id, title: `Task ${n}` })
        if (!task) continue
        const own = await work(task.id)
        if (!signal.aborted && random.between(0, 3) === 0)
          counts.deletions += await client.remove(`/api/tasks/${task.id}`)
        else kept.push(...own)
      }
      // The last ones stay: at the end there must be something to compare.
      if (!signal.aborted && random.between(0, 1) > 0)
        counts.deletions += await client.remove(`/api/projects/${project.id}`)
      else for (const id of kept) this.kept.add(id)
    }
  }

  async #upload(taskId: string): Promise<string[]> {
    const { client, random, counts } = this.deps
    const attempts = await Promise.all(Array.from({ length: 3 }, () => client.upload(taskId)))
    const uploaded = attempts.filter((id) => id !== null)
    counts.uploads += uploaded.length
    const [first, ...others] = uploaded
    if (first === undefined || random.between(0, 1) === 0) return uploaded
    counts.deletions += await client.remove(`/api/attachments/${first}`)
    return others
  }

  async #store(taskId: string, signal: AbortSignal): Promise<string[]> {
    const { client, db, random, counts } = this.deps
    const name = crypto.randomUUID()
    const begun = await client.begin(taskId, name)
    if (!begun || !(await client.store(begun, contentOf(name)))) return []
    const overwrite = async (): Promise<void> => {
      if (await client.store(begun, otherContentOf(name))) counts.overwrites += 1
    }
    const remove = async (path: string): Promise<void> => {
      counts.deletions += await client.remove(path)
    }
    switch (random.between(0, 7)) {
      case 0: // abandoned, a day ago
        await db.transact(
          (tx) =>
            tx`update attachments set expires_at = now() - interval '25 hours' where id = ${begun.id} and state = 'waiting'`,
        )
        await overwrite()
        return []
      case 1: // deleted while it is verified
        await client.complete(begun.id)
        await remove(`/api/tasks/${taskId}`)
        await overwrite()
        return []
      case 2: // replaced while it is verified: one or the other is shown, or neither
        await client.complete(begun.id)
        await overwrite()
        return []
      case 3: // deleted while it is replaced and verified
        await client.complete(begun.id)
        await Promise.all([overwrite(), remove(`/api/tasks/${taskId}`)])
        return []
    }
    if (!(await client.complete(begun.id))) return []
    if (!(await this.#isShown(taskId, begun.id, signal))) return [begun.id]
    counts.verified += 1
    if (random.between(0, 1) === 0) await this.#isDeletedOnce(begun.url, signal)
    await overwrite()
    if (random.between(0, 2) > 0) return [begun.id]
    await remove(`/api/attachments/${begun.id}`)
    await overwrite()
    return []
  }

  /** Waits until the object of a signed URL was deleted for the first time, and is listed for the second. */
  async #isDeletedOnce(url: string, signal: AbortSignal): Promise<boolean> {
    const key = new URL(url).pathname.split('/').slice(2).join('/') // behind the bucket
    const endsAt = performance.now() + deletedWithinMs
    while (!signal.aborted && performance.now() < endsAt) {
      const rows = await this.deps.db.read(
        (sql) => sql`select from file_deletions where key = ${key} and created_at > now()`,
      )
      if (rows.length > 0) return true
      await pause(100, signal)
    }
    return false
  }

  async #isShown(taskId: string, id: string, signal: AbortSignal): Promise<boolean> {
    const endsAt = performance.now() + shownWithinMs
    while (!signal.aborted && performance.now() < endsAt) {
      if (await this.deps.client.isShown(taskId, id)) return true
      await pause(100, signal)
    }
    return false
  }
}
