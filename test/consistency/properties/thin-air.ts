// No thin air: whatever was seen was written, as it was seen, by a call that was sent before; refused calls wrote
// nothing, and a key has one effect.
import type { Call, Frame, LogFact, SeenTask } from '../history.ts'
import type { Findings } from '../report.ts'
import { isAnswered, isTask, isWrite, projectOf, type Timeline } from '../timeline.ts'

const property = 'no thin air'

export const checkThinAir = (timeline: Timeline, findings: Findings): void => {
  for (const call of timeline.calls) {
    for (const seen of call.seen) checkSeen(timeline, findings, seen, call, call.end)
    if (isWrite(call) && call.key !== null) checkEffect(timeline, findings, call)
  }
  for (const event of timeline.stream) {
    if (event.kind !== 'frame' || projectOf(event.scope) === null) continue
    checkFrame(timeline, findings, event)
    if (isTask(event.type) && event.entity !== null)
      checkSeen(timeline, findings, { ...event, task: event.entity }, event, event.at)
  }
  const clients = new Set(timeline.calls.filter(isWrite).map(({ client }) => client))
  for (const fact of timeline.history.final.log) {
    if (fact.actor === null || fact.key === null || !clients.has(fact.actor)) continue
    findings.expect(
      property,
      timeline.callsWithKey(fact.actor, fact.key).length > 0,
      () => 'is an entry that no call wrote',
      () => [fact],
    )
  }
}

/** @param at when it arrived. */
const checkSeen = (
  timeline: Timeline,
  findings: Findings,
  { task, version, content }: SeenTask,
  event: Call | Frame,
  at: number,
): void => {
  const fact = timeline.factOf(task, version)
  findings.expect(
    property,
    fact !== null && (fact.content === null || content === null || fact.content === content),
    () =>
      fact
        ? `shows version ${version} of a task with another content than the log`
        : `shows version ${version} of a task, which the log does not have`,
    () => [fact, event],
  )
  const writer = fact && timeline.callOf(fact)
  if (!writer) return
  findings.expect(
    property,
    writer.start <= at,
    () => 'was seen before it was written',
    () => [event, writer],
  )
}

const checkFrame = (timeline: Timeline, findings: Findings, frame: Frame): void => {
  const fact = timeline.factAt(frame.position)
  const { scope, type, entity, version } = frame
  findings.expect(
    property,
    fact !== null &&
      fact.scope === scope &&
      fact.type === type &&
      fact.entity === entity &&
      fact.version === version,
    () => 'is not the entry of its number',
    () => [fact, frame],
  )
}

const checkEffect = (timeline: Timeline, findings: Findings, call: Call): void => {
  const effects = timeline.effectsOf(call)
  const isRefused = call.status >= 400 && call.status < 500
  // After a lost answer the same request may be refused: the write happened, and its author has no access any more.
  if (isRefused && call.attempts === 1 && timeline.callsWithKey(call.client, call.key!).length === 1)
    findings.expect(
      property,
      effects.length === 0,
      () => 'was refused and wrote',
      () => [call, ...effects],
    )
  if (!isAnswered(call)) return
  if (call.position && timeline.scopes.size > 0)
    findings.expect(
      property,
      effects.length > 0,
      () => 'was answered with a number and wrote nothing',
      () => [call],
    )
  checkOnce(timeline, findings, call, effects)
}

/** The effect of an answered write is what its answer shows, once. */
const checkOnce = (timeline: Timeline, findings: Findings, call: Call, effects: readonly LogFact[]): void => {
  const shown = new Set(call.seen.map(({ task, version }) => `${task} ${version}`))
  const made = effects.filter(
    ({ type, scope }) => (type === 'task.created' || type === 'task.updated') && projectOf(scope) !== null,
  )
  // A move between others gives them new ranks, which its answer does not show.
  if (shown.size > 0 && !call.target.endsWith('/move'))
    findings.expect(
      property,
      made.every(({ entity, version }) => shown.has(`${entity} ${version}`)),
      () => 'has an effect that its answer does not show',
      () => [call, ...made],
    )
  if (call.method !== 'POST' || !call.target.endsWith('/comments')) return
  const comments = effects.filter(
    ({ type, scope }) => type === 'comment.created' && projectOf(scope) !== null,
  )
  findings.expect(
    property,
    comments.length === 1,
    () => `made ${comments.length} comments`,
    () => [call, ...comments],
  )
}
