// Work that is done again and again until the worker stops. A failure is logged once, repeated with back-off and
// never ends the loop.
import { messageOf } from '../../errors.ts'
import { backOffMs } from '../../async/back-off.ts'
import { pause } from '../../async/pause.ts'
import type { Log } from '../../log.ts'

export interface Loop {
  name: string
  everyMs: number
  log: Log
  signal: AbortSignal
  /** Must come back soon when `signal` aborts. */
  work: () => Promise<void>
}

const maxBackoffMs = 5_000

/** Resolves once `signal` has aborted and the work under way is over. */
export const loop = async ({ name, everyMs, log, signal, work }: Loop): Promise<void> => {
  let failures = 0
  while (!signal.aborted) {
    try {
      await work()
      if (failures > 0) log.info({ loop: name, failures }, 'works again')
      failures = 0
    } catch (error) {
      failures += 1
      if (failures === 1)
        log.warn(
          { loop: name, cause: messageOf(error), oncePerMinute: `loop ${name}` },
          'failed; it will be tried again',
        )
    }
    await pause(failures > 0 ? Math.min(everyMs, backOffMs(failures, 100, maxBackoffMs)) : everyMs, signal)
  }
}
