// Live views: frames ascend (monotonic reads) and leave nothing out. What a view has missed breaks the property that it
// makes visible: half a transaction, a write without the one before it of its session, an effect without its cause.
// That it is lost is a failure of convergence in each case.
import type { Frame, LogFact, Step } from '../history.ts'
import type { Property } from '../properties.ts'
import type { Findings } from '../report.ts'
import type { ScopeLog } from '../scope-log.ts'
import type { Timeline } from '../timeline.ts'
import type { SeenBefore } from './session-order.ts'

/** A view's place in a scope: everything up to `seq` was received, or is not for it. */
interface Place {
  seq: number
  last: Frame | Step
  isLive: boolean
}

export const checkViews = (timeline: Timeline, findings: Findings, seenBefore: SeenBefore): void => {
  const places = new Map<string, Place>()
  for (const event of timeline.stream) {
    const key = `${event.view} ${event.scope}`
    const place = places.get(key)
    if (event.kind === 'step') {
      const next = stepped(timeline, findings, event, place)
      if (next) places.set(key, next)
      continue
    }
    findings.expect(
      'no thin air',
      place?.isLive === true,
      () => 'was received without a subscription of its scope',
      () => [place?.last, event],
    )
    if (!place?.isLive) continue
    findings.expect(
      'monotonic reads',
      event.position.seq > place.seq,
      () => `received number ${event.position.seq} after ${place.seq}`,
      () => [place.last, event],
    )
    const scope = timeline.scopes.get(event.scope)
    if (scope && event.position.seq > place.seq)
      for (const missed of missing(scope, place.seq, event.position.seq - 1))
        reportMissed(timeline, findings, seenBefore, { missed, event, place, scope })
    if (event.position.seq > place.seq)
      places.set(key, { seq: event.position.seq, last: event, isLive: true })
  }
  for (const [key, place] of places) checkEnd(timeline, findings, key, place)
}

const stepped = (
  timeline: Timeline,
  findings: Findings,
  event: Step,
  place: Place | undefined,
): Place | null => {
  const { what, position } = event
  if (what === 'revoked' || what === 'lost') return place ? { ...place, last: event, isLive: false } : null
  if (!position) return null
  if (what === 'join' || what === 'snapshot') return { seq: position.seq, last: event, isLive: true }
  if (!place?.isLive) return null
  const scope = timeline.scopes.get(event.scope)
  const lost = scope ? missing(scope, place.seq, position.seq) : []
  findings.expect(
    'convergence',
    lost.length === 0,
    () => `was sent everything up to ${position.seq} but number ${lost[0]!.position.seq}`,
    () => [lost[0], place.last, event],
  )
  return { seq: Math.max(place.seq, position.seq), last: event, isLive: true }
}

/** Entries for sockets with numbers in (after, upTo]. */
const missing = (scope: ScopeLog, after: number, upTo: number): LogFact[] => {
  const from = scope.indexAt(after) + 1
  const found: LogFact[] = []
  for (let index = from; index < scope.facts.length; index += 1) {
    const fact = scope.facts[index]!
    if (fact.position.seq > upTo) break
    if (fact.isLoud) found.push(fact)
  }
  return found
}

interface Missed {
  missed: LogFact
  event: Frame
  place: Place
  scope: ScopeLog
}

const reportMissed = (
  timeline: Timeline,
  findings: Findings,
  seenBefore: SeenBefore,
  { missed, event, place, scope }: Missed,
): void => {
  const evidence = () => [place.last, missed, event]
  const fail = (property: Property, text: string): void =>
    findings.expect(property, false, () => text, evidence)
  fail('convergence', `never received number ${missed.position.seq}`)
  const received = timeline.factAt(event.position)
  if (!received) return
  const transaction = transactionOf(scope, missed)
  if (
    transaction === transactionOf(scope, received) ||
    (place.last.kind === 'frame' && transaction === transactionOf(scope, place.last))
  )
    fail('atomic visibility', 'received a part of a transaction')
  if (missed.actor !== null && missed.actor === received.actor)
    fail('monotonic writes', 'received a write without an earlier one of the same session')
  const call = timeline.callOf(received)
  const seen = call && seenBefore.get(call)?.get(missed.position.shard)
  if (seen !== null && seen !== undefined && seen >= missed.position.seq)
    fail('writes follow reads', 'received a write without one that its session had seen')
}

const transactionOf = (scope: ScopeLog, { position }: Pick<LogFact, 'position'>): number =>
  scope.transactions[scope.indexAt(position.seq)] ?? -1

const checkEnd = (timeline: Timeline, findings: Findings, key: string, place: Place): void => {
  if (!place.isLive) return
  const scope = timeline.scopes.get(key.slice(key.indexOf(' ') + 1))
  if (!scope) return
  const lost = missing(scope, place.seq, Infinity)
  findings.expect(
    'convergence',
    lost.length === 0,
    () => `ended at ${place.seq} without number ${lost[0]!.position.seq}`,
    () => [place.last, lost[0]],
  )
}
