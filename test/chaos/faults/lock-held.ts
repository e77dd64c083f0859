// Another session holds locks of rows that writers need, as a migration or an open console does.
import { openDatabase } from '../../../src/db/client.ts'
import { createLog } from '../../../src/log.ts'
import { pause, type Fault } from '../fault.ts'

const heldMs = { short: 5_000, long: 30_000 }

export const lockHeld: Fault = {
  name: 'lock-held',
  title: 'half of the shards locked by another session, for 5 s at a time',
  longTitle: 'half of the shards locked by another session, for 30 s at a time',
  longSeconds: 70,
  async disturb(arena, signal) {
    const lasting = arena.options.isLong ? heldMs.long : heldMs.short
    const deadlineMs = lasting + 10_000
    await using holder = openDatabase({
      url: arena.cluster.databaseUrl,
      max: 1,
      applicationName: 'holder',
      log: createLog('chaos', 'silent'),
      deadlineMs,
      statementTimeoutMs: deadlineMs,
    })
    let injected = 0
    while (!signal.aborted) {
      await holder.transact(async (tx) => {
        await tx`select from feed_head where shard % 2 = 0 order by shard for update`
        await tx`select pg_sleep(${lasting / 1_000})`
      })
      arena.healed()
      injected += 1
      await pause(3_000, signal)
    }
    return injected
  },
}
