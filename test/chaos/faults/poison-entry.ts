// Entries that consumers cannot process: each goes to dead_letter after its tries, and the entries behind it in the same
// shard are handled.
import { append } from '../../../src/db/log/append.ts'
import { projectScope } from '../../../src/model/scope.ts'
import { eventually } from '../../support/eventually.ts'
import { pause, type Fault } from '../fault.ts'
import type { Arena } from '../arena.ts'

/** An event without data, as a defect of an older version may have written it. */
const poison = { mentions: ['00000000-0000-0000-0000-000000000001'], frame: '{}' }

const inject = (arena: Arena): Promise<void> =>
  arena.db.transact(async (tx) => {
    const entry = {
      scope: projectScope(arena.actsProjectId),
      type: 'comment.updated' as const,
      id: Bun.randomUUIDv7(),
      version: 2,
      actorId: null,
      changes: { mentions: { from: [], to: poison.mentions } },
      data: {},
    }
    const { entries } = await append(tx, [entry])
    const [{ shard, seq }] = entries as [(typeof entries)[0]]
    await tx`update feed set frame = ${poison.frame} where shard = ${shard} and seq = ${seq}`
  })

export const poisonEntry: Fault = {
  name: 'poison-entry',
  title: 'entries that a consumer cannot process',
  async disturb(arena, signal) {
    let injected = 0
    do {
      await inject(arena)
      injected += 1
      await pause(3_000, signal)
    } while (!signal.aborted)
    const letters = async (): Promise<number> => {
      const [row] = await arena.db.read(
        (sql) => sql<{ count: number }[]>`
          select count(*)::int as count from dead_letter
          where consumer = 'notifications' and entry->>'type' = 'comment.updated'
            and entry->>'scope' = ${projectScope(arena.actsProjectId)}`,
      )
      return row!.count
    }
    const found = await eventually(
      async () => {
        const count = await letters()
        if (count < injected) throw new Error(`${count} of ${injected} entries are in dead_letter`)
        return count
      },
      { timeoutMs: arena.options.timeoutMs ?? 30_000, everyMs: 100 },
    ).catch(letters)
    if (found !== injected) arena.violations.push(`${found} of ${injected} entries went to dead_letter`)
    arena.notes.push(`${found} entries in dead_letter`)
    return injected
  },
}
