// Acts that notify people, and the notifications that must exist afterwards, each once: computed from what servers
// acknowledged to the client. Invariant: the people of one `Notices` read no notification, leave no project and delete
// no task, so that nothing excuses a missing one.
import type { Database } from '../../src/db/client.ts'
import { eventually } from '../support/eventually.ts'
import { expectStatus, type Api, type Person } from './api.ts'
import type { Random } from './random.ts'

export interface NoticesOptions {
  api: Api
  projectId: string
  /** Members; the first one creates the tasks. At least three. */
  people: Person[]
  random: Random
  lanes: number
  /** Pause of a lane between two acts, milliseconds. */
  everyMs: number
  /** With it, acts also create tasks that are due so much later, milliseconds, and so not overdue before that. */
  dueLaterMs?: number
}

export class Notices {
  /** `kind task user` of each notification that must exist. */
  readonly expected: string[] = []
  readonly taskIds: string[] = []
  /** Acts that were never acknowledged. */
  readonly faults: string[] = []
  readonly #running: Promise<void>[]
  #isStopped = false
  #acts = 0

  constructor(private readonly options: NoticesOptions) {
    this.#running = Array.from({ length: options.lanes }, () => this.#lane())
  }

  /** Ends the acts; resolves once those in flight are acknowledged. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.all(this.#running)
  }

  async #lane(): Promise<void> {
    const { random, everyMs } = this.options
    while (!this.#isStopped) {
      try {
        await this.#act((this.#acts += 1))
      } catch (error) {
        this.faults.push(String(error))
        return
      }
      await Bun.sleep(random.between(0, 2 * everyMs))
    }
  }

  /**
   * A task that is assigned and then overdue at once, or due later, or commented on with a mention and completed by a third
   * person.
   */
  async #act(n: number): Promise<void> {
    const { projectId, people, dueLaterMs } = this.options
    const [creator, ...others] = people as [Person, ...Person[]]
    const [assignee, other] = [others[n % others.length]!, others[(n + 1) % others.length]!]
    const isDue = n % 3 === 0
    const isDueLater = n % 3 === 1 && dueLaterMs !== undefined
    const dueInMs = isDue ? -1_000 : isDueLater ? dueLaterMs : null
    const body = {
      projectId,
      title: `Notice ${n}`,
      assigneeId: assignee.id,
      ...(dueInMs !== null && { dueAt: new Date(Date.now() + dueInMs).toISOString() }),
    }
    const task = await this.#ask(creator, 'POST', '/api/tasks', body, 201, `create-${n}`)
    this.taskIds.push(task.id)
    this.#expect('assigned', task.id, assignee)
    if (isDue) return this.#expect('overdue', task.id, assignee)
    if (isDueLater) return this.#expect('due_soon', task.id, assignee) // an overdue one too would be one too many
    const comment = { body: `Comment ${n}`, mentions: [creator.id] }
    await this.#ask(other, 'POST', `/api/tasks/${task.id}/comments`, comment, 201, `comment-${n}`)
    this.#expect('mentioned', task.id, creator)
    this.#expect('commented', task.id, assignee)
    await this.#ask(other, 'PATCH', `/api/tasks/${task.id}`, { status: 'done' }, 200, `complete-${n}`)
    this.#expect('completed', task.id, assignee)
    this.#expect('completed', task.id, creator)
  }

  #expect(kind: string, taskId: string, { id }: Person): void {
    this.expected.push(`${kind} ${taskId} ${id}`)
  }

  async #ask(
    { token }: Person,
    method: string,
    path: string,
    body: object,
    wanted: number,
    key: string,
  ): Promise<any> {
    const { api, projectId } = this.options
    return expectStatus(await api.call(method, path, token, body, `${projectId}-${key}`), wanted, key)
  }
}

/**
 * Waits until every consumer has read the log, no open task is overdue or due within the hour without its notification, no
 * `stats.updated` is due.
 */
export const workersSettled = async (db: Database, timeoutMs: number): Promise<void> => {
  let left = 0
  await eventually(
    async () => {
      const [row] = await db.read(
        (sql) => sql<{ behind: number; due: number }[]>`
          select
            (select coalesce(sum(h.seq - c.seq), 0)::int from feed_head h join consumer_cursor c using (shard)
             where c.seq < h.seq) as behind,
            (select count(*)::int from tasks
             where due_at < now() and status in ('todo', 'in_progress') and overdue_rev < due_rev)
            + (select count(*)::int from tasks
             where due_at > now() and due_at < now() + interval '1 hour'
               and status in ('todo', 'in_progress') and due_soon_rev < due_rev)
            + (select count(*)::int from project_statistics where is_changed) as due`,
      )
      left = row!.behind + row!.due
      if (left > 0)
        throw new Error(
          `consumers are ${row!.behind} entries behind, ${row!.due} tasks or announcements are due`,
        )
    },
    { timeoutMs, everyMs: 100, progress: () => left },
  )
}

export interface NoticeDifferences {
  missing: string[]
  repeated: string[]
}

/** Compares the inboxes, and the entries that announce them, with what must exist. */
export const checkNotices = async (
  db: Database,
  { expected, taskIds }: Pick<Notices, 'expected' | 'taskIds'>,
): Promise<NoticeDifferences> => {
  const own = new Set(taskIds)
  const rows = await db.read(
    (sql) => sql<{ kind: string; taskId: string; userId: string }[]>`
      select kind, task_id as "taskId", user_id as "userId" from notifications
      where task_id = any(${taskIds}::uuid[])`,
  )
  const frames = await db.read(
    (sql) => sql<{ scope: string; frame: string | null }[]>`
      select scope, frame from feed where type = 'notification.created' and frame is not null`,
  )
  const announced = frames.flatMap(({ scope, frame }) => {
    const { data } = JSON.parse(frame!) as { data: { kind: string; taskId: string | null } }
    const isOwn = data.taskId !== null && own.has(data.taskId)
    return isOwn ? [`${data.kind} ${data.taskId} ${scope.slice('user:'.length)}`] : []
  })
  const inbox = rows.map(({ kind, taskId, userId }) => `${kind} ${taskId} ${userId}`)
  const inInbox = compare('in the inbox', expected, inbox)
  const inLog = compare('in the log', expected, announced)
  return {
    missing: [...inInbox.missing, ...inLog.missing],
    repeated: [...inInbox.repeated, ...inLog.repeated],
  }
}

/** @returns wanted ones that are not found, and found ones beyond those that are wanted. */
export const compare = (
  where: string,
  wanted: readonly string[],
  found: readonly string[],
): NoticeDifferences => {
  const counts = new Map<string, number>()
  for (const one of found) counts.set(one, (counts.get(one) ?? 0) + 1)
  const missing: string[] = []
  for (const one of wanted) {
    const count = counts.get(one) ?? 0
    if (count === 0) missing.push(`${one} is not ${where}`)
    counts.set(one, count - 1)
  }
  const repeated = [...counts].filter(([, count]) => count > 0)
  return {
    missing,
    repeated: repeated.map(([one, count]) => `${one} is ${where} ${count} times too often`),
  }
}
