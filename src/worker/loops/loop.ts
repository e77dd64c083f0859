// Work repeated until the worker stops. A failure does not end the loop: it is logged once, and the work runs again
// after a back-off.
import { messageOf } from '../../errors.ts'
import { backOffMs } from '../../async/back-off.ts'
import { pause } from '../../async/pause.ts'
import type { Log } from '../../log.ts'

export interface Loop {
  name: string
  everyMs: number
  log: Log
  signal: AbortSignal
  /** Must return soon after `signal` aborts. */
  work: () => Promise<void>
}

const maxBackoffMs = 5_000

/** Resolves when `signal` has aborted and the current run of the work has ended. */
export const loop = async ({ name, everyMs, log, signal, work }: Loop): Promise<void> => {
  let failures = 0
  while (!signal.aborted) {
    try {
      await work()
      if (failures > 0) log.info({ loop: name, failures }, 'loop recovered')
      failures = 0
    } catch (error) {
      failures += 1
      if (failures === 1)
        log.warn(
          { loop: name, cause: messageOf(error), oncePerMinute: `loop ${name}` },
          'loop failed, retrying',
        )
    }
    await pause(failures > 0 ? Math.min(everyMs, backOffMs(failures, 100, maxBackoffMs)) : everyMs, signal)
  }
}
