// Revocation order: a user's views receive no entry of a project between the end of their access and its return.
import type { Call, LogFact } from '../history.ts'
import type { Findings } from '../report.ts'
import { isAnswered, type Timeline } from '../timeline.ts'

const property = 'revocation order'

export const checkRevocationOrder = (timeline: Timeline, findings: Findings): void => {
  /** By scope and user the entries that end or grant access, ascending. */
  const changes = new Map<string, LogFact[]>()
  for (const fact of timeline.history.final.log) {
    const user = fact.revokes ?? (fact.type === 'member.added' ? fact.entity : null)
    if (user === null) continue
    const key = `${fact.scope} ${user}`
    const held = changes.get(key)
    if (held) held.push(fact)
    else changes.set(key, [fact])
  }
  // Of a user who keeps access there is nothing to compare.
  for (const [key, own] of changes) if (own.every(({ revokes }) => revokes === null)) changes.delete(key)
  if (changes.size === 0) return
  for (const event of timeline.stream) {
    if (event.kind !== 'frame') continue
    const own = changes.get(`${event.scope} ${event.client}`)
    if (!own) continue
    const last = own.findLast(({ position }) => position.seq <= event.position.seq)
    findings.expect(
      property,
      !last || last.revokes === null,
      () => 'was received without access: it lies after a revocation',
      () => [last, event],
    )
  }
  for (const call of timeline.calls) {
    if (call.reads !== 'list' && call.reads !== 'snapshot') continue
    const own = isAnswered(call) ? changes.get(`project:${call.subject} ${call.client}`) : undefined
    if (own) checkRead(timeline, findings, call, own)
  }
}

/** At some moment of the call its client had access. */
const checkRead = (timeline: Timeline, findings: Findings, call: Call, changes: LogFact[]): void => {
  const ended = changes.findLast(
    (fact) => fact.revokes !== null && (timeline.callOf(fact)?.end ?? Infinity) < call.start,
  )
  const granted =
    ended &&
    changes.find(
      (fact) =>
        fact.revokes === null &&
        fact.position.seq > ended.position.seq &&
        (timeline.callOf(fact)?.start ?? -Infinity) <= call.end,
    )
  findings.expect(
    property,
    !ended || granted !== undefined,
    () => 'was answered to a user whose access had ended',
    () => [ended && timeline.callOf(ended), call],
  )
}
