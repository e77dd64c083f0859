// Bringing rows of the version before into the one form of text, while servers of both versions write. Invariant: a
// step is one transaction of at most `batchSize` rows, and so of as many entries for one scope as sockets are sent
// one by one; a step that is lost is done again, one that is done finds nothing.
import { tryLockLoop } from '../../db/leases.ts'
import { bringTasksAlong, type BroughtAlong } from '../../domain/task-words.ts'
import { writeAsSystem, type SystemWriteDeps } from '../../domain/write.ts'
import type { Log } from '../../log.ts'

const batchSize = 200

export interface TextFormDeps extends SystemWriteDeps {
  log: Log
  signal: AbortSignal
}

/** Until no task is without words; does nothing while another worker is at it. Logs and answers what was done. */
export const bringTasksIntoForm = async (deps: TextFormDeps): Promise<BroughtAlong> => {
  const done: BroughtAlong = { tasks: 0, changed: 0, mergedTags: 0 }
  while (!deps.signal.aborted) {
    const step = await writeAsSystem(deps, async (tx) =>
      (await tryLockLoop(tx, 'text'))
        ? bringTasksAlong(tx, batchSize)
        : { value: { tasks: 0, changed: 0, mergedTags: 0 }, entries: [] },
    )
    if (step.tasks === 0) break
    done.tasks += step.tasks
    done.changed += step.changed
    done.mergedTags += step.mergedTags
  }
  if (done.tasks > 0) deps.log.info(done, 'tasks of the version before can be searched by their words')
  return done
}
