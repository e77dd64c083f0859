// Writes to the log through the one write path, without the rows behind it: fast, and any number a second. And the
// projects and members such scenarios write about.
import { systemWrite, write, type WriteDeps } from '../../src/domain/write.ts'
import { projectScope, type Scope } from '../../src/model/scope.ts'
import type { Entry } from '../../src/model/event.ts'
import { eventually } from '../support/eventually.ts'
import type { Members, Person, World } from '../support/world.ts'

/** An entry with a frame, which subscribers of the scope receive as an event. */
export const entry = (scope: Scope, data: Record<string, unknown> = {}): Entry => ({
  scope,
  type: 'task.updated',
  id: Bun.randomUUIDv7(),
  version: 2,
  data,
  actorId: null,
})

/** Appends the entries in one transaction. */
export const appendEntries = (deps: WriteDeps, ...entries: Entry[]): Promise<unknown> =>
  write(deps, systemWrite, async () => ({ value: null, entries }))

/** Small enough for the deadline of a call on a slow machine. */
const maxTransactionBytes = 200_000

/** Appends `count` entries of a scope, up to a hundred a transaction, each with `bytes` of text. */
export const appendMany = async (deps: WriteDeps, scope: Scope, count: number, bytes = 10): Promise<void> => {
  const text = 'x'.repeat(bytes)
  const perTransaction = Math.min(100, Math.ceil(maxTransactionBytes / bytes))
  for (let first = 0; first < count; first += perTransaction) {
    const length = Math.min(perTransaction, count - first)
    await appendEntries(deps, ...Array.from({ length }, (_, n) => entry(scope, { n: first + n, text })))
  }
}

/** A new project of the owner, with its other members by role: its id and scope. */
export const makeProject = async (
  world: World,
  owner: Person,
  members: Members = {},
): Promise<{ id: string; scope: Scope }> => {
  const { id } = await world.project(owner, members)
  return { id, scope: projectScope(id) }
}

/** Adds an editor to a project. */
export const addMember = async (
  world: World,
  { id }: { id: string },
  owner: Person,
  { email }: Person,
): Promise<void> => {
  await world.ask(owner, 'POST', `/api/projects/${id}/members`, { email, role: 'editor' })
}

/** Waits until the follower of a server has admitted everything committed so far. */
export const untilCaughtUp = async ({ deps }: World['server']): Promise<void> => {
  const heads = await deps.db.read(
    (sql) => sql<{ shard: number; seq: number }[]>`select shard, seq from feed_head`,
  )
  await eventually(() => {
    for (const { shard, seq } of heads)
      if (deps.follower.positions[shard]! < seq) throw new Error(`shard ${shard} is not at ${seq}`)
  })
}
