// Monotonic writes as the log shows them: each number once, and versions of a task that ascend one at a time.
import type { Findings } from '../report.ts'
import type { LogFact } from '../history.ts'
import { isTask, projectOf, type Timeline } from '../timeline.ts'

export const checkLogOrder = (timeline: Timeline, findings: Findings): void => {
  const { log } = timeline.history.final
  let before: LogFact | null = null
  const last = new Map<string, LogFact>()
  for (const fact of log) {
    const previous = before
    before = fact
    if (previous?.position.shard === fact.position.shard)
      findings.expect(
        'monotonic writes',
        previous.position.seq < fact.position.seq,
        () => `the number ${fact.position.shard}.${fact.position.seq} was given twice`,
        () => [previous, fact],
      )
    if (!isTask(fact.type) || fact.entity === null || projectOf(fact.scope) === null) continue
    const key = `${fact.scope} ${fact.entity}`
    const held = last.get(key)
    last.set(key, fact)
    if (!held) continue
    // A task that was moved away and back is created again, at a later version.
    const isNext =
      fact.type === 'task.created'
        ? held.type === 'task.deleted' && fact.version > held.version
        : fact.version === held.version + 1
    findings.expect(
      'monotonic writes',
      isNext,
      () => `version ${fact.version} of a task follows version ${held.version} in the log`,
      () => [held, fact],
    )
  }
}
