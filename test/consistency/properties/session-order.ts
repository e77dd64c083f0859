// Read your writes, monotonic reads, monotonic writes and writes follow reads, as far as a session's own calls show them.
import type { Call, LogFact } from '../history.ts'
import type { Property } from '../properties.ts'
import type { Findings } from '../report.ts'
import { scopeOf, visitSessions, type Known, type Session } from '../sessions.ts'
import { isAnswered, isStrong, isTask, isWrite, type Timeline } from '../timeline.ts'

/** Per write the highest number of each shard that its session had seen when it was sent. */
export type SeenBefore = Map<Call, Map<number, number>>

/** @returns what the sessions of writes had seen before them. */
export const checkSessionOrder = (timeline: Timeline, findings: Findings): SeenBefore => {
  const seenBefore: SeenBefore = new Map()
  visitSessions(timeline, {
    onCall(call, before, floor) {
      if (isStrong(call)) checkStrongRead(timeline, findings, call, before)
      if (call.reads === 'task' && call.status === 404) checkAbsent(timeline, findings, call, before)
      if (call.reads === 'snapshot' && isAnswered(call)) checkSnapshot(findings, call, before, floor)
      if (!isWrite(call)) return
      const effects = timeline.effectsOf(call)
      const write = timeline.writeOf(call)
      // A repeat is sent after its write.
      if (effects.length === 0 || call.start > write.start) return
      checkWrite(findings, call, effects, before)
      const numbers = new Map<number, number>()
      for (const { position } of effects) {
        const known = before.saw.shards.get(position.shard)
        if (known) numbers.set(position.shard, known.seq)
      }
      seenBefore.set(write, numbers)
    },
  })
  return seenBefore
}

const kinds = [
  ['read your writes', 'wrote'],
  ['monotonic reads', 'saw'],
] as const

const checkStrongRead = (timeline: Timeline, findings: Findings, call: Call, before: Session): void => {
  for (const [property, kind] of kinds) {
    for (const { task, version } of call.seen) {
      const known = before[kind].tasks.get(task)
      if (!known) continue
      findings.expect(
        property,
        version >= known.version,
        () => `shows version ${version} of a task of which the session knew version ${known.version}`,
        () => [known.source, known.fact, call],
      )
    }
  }
  const scope = timeline.scopeOf(call.reads === 'list' ? call.subject : null)
  if (!scope || !call.isWhole) return
  const { isState, lastSeq } = scope.intervalOf(call.seen, true)
  if (!isState) return // atomic visibility reports it
  const [first] = scope.facts
  for (const [property, kind] of kinds) {
    const known = first && before[kind].shards.get(first.position.shard)
    if (!known) continue
    findings.expect(
      property,
      known.seq <= lastSeq,
      () => `lists a project as it was at number ${lastSeq}; the session knew number ${known.seq}`,
      () => [known.source, known.fact, call],
    )
  }
}

/**
 * A 404 for a task that the session knew to exist is explained by a deletion, or by the loss of access, that was sent
 * before the 404 was answered.
 */
const checkAbsent = (timeline: Timeline, findings: Findings, call: Call, before: Session): void => {
  const known = call.subject === null ? undefined : before.saw.tasks.get(call.subject)
  if (!known?.fact || known.fact.type === 'task.deleted') return
  const own = before.wrote.tasks.get(call.subject!)
  const isSent = (fact: LogFact): boolean => (timeline.callOf(fact)?.start ?? -Infinity) <= call.end
  const isExplained =
    [...timeline.factsOf(call.subject!).values()].some(
      (fact) => fact.type === 'task.deleted' && fact.version > known.version && isSent(fact),
    ) || mayLackAccess(timeline, call, isSent)
  findings.expect(
    own ? 'read your writes' : 'monotonic reads',
    isExplained,
    () => 'does not find a task that the session knew and that no write deleted',
    () => [known.source, known.fact, call],
  )
}

/** Whether access to some project may have been lost at some moment of the call: the task may have moved there. */
const mayLackAccess = (timeline: Timeline, call: Call, isSent: (fact: LogFact) => boolean): boolean => {
  /** Scopes to which access was granted, and answered, before the call: what is earlier in them explains nothing. */
  const regained = new Set<string>()
  for (const fact of (timeline.access.get(call.client) ?? []).toReversed()) {
    if (regained.has(fact.scope)) continue
    if (fact.revokes !== null) {
      if (isSent(fact)) return true
    } else if ((timeline.callOf(fact)?.end ?? Infinity) < call.start) regained.add(fact.scope)
  }
  return false
}

const checkSnapshot = (
  findings: Findings,
  call: Call,
  { wrote }: Session,
  floor: (Known & { seq: number }) | null,
): void => {
  const { position } = call
  if (!position) return
  const compare = (property: Property, known: (Known & { seq: number }) | null | undefined): void => {
    if (!known) return
    findings.expect(
      property,
      known.seq <= position.seq,
      () => `is a snapshot at number ${position.seq}; the session knew number ${known.seq}`,
      () => [known.source, known.fact, call],
    )
  }
  compare('read your writes', wrote.scopes.get(scopeOf(call)))
  compare('monotonic reads', floor)
}

const checkWrite = (findings: Findings, call: Call, effects: readonly LogFact[], before: Session): void => {
  for (const fact of effects) {
    const { shard, seq } = fact.position
    for (const [property, kind] of [
      ['monotonic writes', 'wrote'],
      ['writes follow reads', 'saw'],
    ] as const) {
      const known = before[kind].shards.get(shard)
      if (known)
        findings.expect(
          property,
          known.seq < seq,
          () => `has number ${seq}; its session knew number ${known.seq} before`,
          () => [known.source, known.fact, call, fact],
        )
      const task = isTask(fact.type) && fact.entity !== null ? before[kind].tasks.get(fact.entity) : null
      if (task)
        findings.expect(
          property,
          task.version < fact.version,
          () => `made version ${fact.version}; its session knew version ${task.version} before`,
          () => [task.source, task.fact, call, fact],
        )
    }
  }
}
