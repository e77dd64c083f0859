// A new epoch makes all numbers of the log void, as after a restore: every client reads a snapshot again and converges.
import { ensureEpoch } from '../../../src/db/log/epochs.ts'
import { pause, type Fault } from '../fault.ts'

export const epochRenewed: Fault = {
  name: 'epoch-renewed',
  title: 'a new epoch every 2 s',
  resyncs: true,
  async disturb(arena, signal) {
    let injected = 0
    while (!signal.aborted) {
      await pause(injected === 0 ? 500 : 2_000, signal)
      await arena.db.transact((tx) => ensureEpoch(tx, true))
      injected += 1
    }
    return injected
  },
}
