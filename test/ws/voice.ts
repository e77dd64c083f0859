// Writes to the log through the one write path, without the rows behind it: fast, and any number a second.
import { systemWrite, write, type WriteDeps } from '../../src/domain/write.ts'
import { projectScope, type Scope } from '../../src/model/scope.ts'
import type { Entry } from '../../src/model/event.ts'
import { eventually } from '../support/eventually.ts'
import type { Person, World } from '../support/world.ts'

/** One entry that sockets hear. */
export const entry = (scope: Scope, data: Record<string, unknown> = {}): Entry => ({
  scope,
  type: 'task.updated',
  id: Bun.randomUUIDv7(),
  version: 2,
  data,
  actorId: null,
})

/** Appends in one transaction. */
export const say = (deps: WriteDeps, ...entries: Entry[]): Promise<unknown> =>
  write(deps, systemWrite, async () => ({ value: null, entries }))

/** Appends `count` entries of a scope, a hundred a transaction, each with `bytes` of text. */
export const sayMany = async (deps: WriteDeps, scope: Scope, count: number, bytes = 10): Promise<void> => {
  const text = 'x'.repeat(bytes)
  for (let said = 0; said < count; said += 100) {
    const length = Math.min(100, count - said)
    await say(deps, ...Array.from({ length }, (_, n) => entry(scope, { n: said + n, text })))
  }
}

/** A new project of the person: its id and scope. */
export const makeProject = async (world: World, { token }: Person): Promise<{ id: string; scope: Scope }> => {
  const { status, body } = await world.call('POST', '/api/projects', { token, body: { name: 'Tide' } })
  if (status !== 201) throw new Error(`creating a project answered ${status}: ${JSON.stringify(body)}`)
  return { id: body.id, scope: projectScope(body.id) }
}

export const addMember = async (
  world: World,
  project: { id: string },
  owner: Person,
  { email }: Person,
): Promise<void> => {
  const { status } = await world.call('POST', `/api/projects/${project.id}/members`, {
    token: owner.token,
    body: { email, role: 'editor' },
  })
  if (status !== 201) throw new Error(`adding a member answered ${status}`)
}

/** Waits until a server's tail has delivered everything committed so far. */
export const caughtUp = async ({ deps }: World['server']): Promise<void> => {
  const heads = await deps.db.read(
    (sql) => sql<{ shard: number; seq: number }[]>`select shard, seq from feed_head`,
  )
  await eventually(() => {
    for (const { shard, seq } of heads)
      if (deps.follower.positions[shard]! < seq) throw new Error(`shard ${shard} is not at ${seq}`)
  })
}
