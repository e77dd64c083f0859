// The log's numbers are declared void, as after a restore: every client reads a snapshot again and converges.
import { ensureEpoch } from '../../../src/db/log/epochs.ts'
import { pause, type Fault } from '../fault.ts'

export const epochRenewed: Fault = {
  name: 'epoch-renewed',
  title: 'a new epoch every 2 s',
  resyncs: true,
  async disturb(arena, signal) {
    let blows = 0
    while (!signal.aborted) {
      await pause(blows === 0 ? 500 : 2_000, signal)
      await arena.db.transact((tx) => ensureEpoch(tx, true))
      blows += 1
    }
    return blows
  },
}
