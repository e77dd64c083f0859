// Linearisable conditional writes: each task is a register whose order of writes is known, by version. A history of one
// register is linearisable if and only if the operations can be given points on the clock, each between its start and its
// end, that ascend with the versions: the earliest points are found in one pass.
import type { Call, LogFact } from '../history.ts'
import type { Findings } from '../report.ts'
import { isAnswered, isStrong, isTask, type Timeline } from '../timeline.ts'

const property = 'linearisable conditional writes'

/** Raised by other writes; a version in which nothing else changed fails no condition. */
const counters = new Set(['commentCount', 'attachmentCount', 'rank'])

interface Operation {
  version: number
  /** Writes come before the reads of their version. */
  isRead: boolean
  call: Call
}

export const checkRegisters = (timeline: Timeline, findings: Findings): void => {
  const operations = new Map<string, Operation[]>()
  const add = (task: string, operation: Operation): void => {
    const held = operations.get(task)
    if (held) held.push(operation)
    else operations.set(task, [operation])
  }
  const written = new Set<string>()
  for (const fact of timeline.history.final.log) {
    if (!isTask(fact.type) || fact.entity === null) continue
    const call = timeline.callOf(fact)
    const place = `${fact.entity} ${fact.version}`
    if (!call || written.has(place)) continue
    written.add(place)
    add(fact.entity, { version: fact.version, isRead: false, call })
  }
  for (const call of timeline.calls) {
    // An answered write shows what it met where it changed nothing.
    if (isStrong(call))
      for (const { task, version } of call.seen)
        if (!isEffect(timeline, call, task, version)) add(task, { version, isRead: true, call })
    if (call.subject !== null && call.currentVersion !== null)
      add(call.subject, { version: call.currentVersion, isRead: true, call })
    if (call.ifMatch !== null && call.subject !== null) checkCondition(timeline, findings, call)
  }
  for (const own of operations.values()) checkRegister(timeline, findings, own)
}

const isEffect = (timeline: Timeline, call: Call, task: string, version: number): boolean => {
  if (call.reads !== null) return false
  const fact = timeline.factOf(task, version)
  return fact !== null && timeline.callOf(fact) === timeline.writeOf(call)
}

const checkRegister = (timeline: Timeline, findings: Findings, operations: Operation[]): void => {
  operations.sort((a, b) => a.version - b.version || Number(a.isRead) - Number(b.isRead))
  let point = -Infinity
  let latest: Operation | null = null
  /** Of the reads of one version, which are in no order among themselves. */
  let after = { point: -Infinity, latest: null as Operation | null }
  for (const [index, operation] of operations.entries()) {
    const before = operations[index - 1]
    if (!before || before.version !== operation.version || !operation.isRead)
      if (after.point > point) ({ point, latest } = after)
    const { start, end } = operation.call
    const earliest = latest
    findings.expect(
      property,
      point <= end,
      () =>
        operation.isRead
          ? `was read at version ${operation.version} after version ${earliest!.version} was there`
          : `made version ${operation.version} after version ${earliest!.version} was there`,
      () => [earliest!.call, operation.call],
    )
    if (start > after.point) after = { point: start, latest: operation }
    if (!operation.isRead && after.point > point) ({ point, latest } = after)
  }
}

/** Changes of writable fields between two versions of a task, both excluded. */
function* contentBetween(
  timeline: Timeline,
  task: string,
  after: number,
  before: number,
): Generator<LogFact> {
  const facts = timeline.factsOf(task)
  for (let version = after + 1; version < before; version += 1) {
    const fact = facts.get(version)
    if (fact && (!fact.changed || fact.changed.some((field) => !counters.has(field)))) yield fact
  }
}

const checkCondition = (timeline: Timeline, findings: Findings, call: Call): void => {
  const { ifMatch, subject, status, end, replayed } = call
  const task = subject!
  const expected = ifMatch!
  const own = timeline.effectsOf(call).filter(({ entity, type }) => entity === task && isTask(type))
  if (isAnswered(call) && !replayed) {
    // Without an effect of its own it changed nothing: its answer shows the version it met.
    const made = own[0]?.version ?? (call.seen.find((seen) => seen.task === task)?.version ?? 0) + 1
    const [between] = contentBetween(timeline, task, expected, made)
    findings.expect(
      property,
      expected < made && between === undefined,
      () => `succeeded on version ${expected}, after which another write had changed the task`,
      () => [call, between, ...own],
    )
  }
  if (status !== 412) return
  const facts = timeline.factsOf(task)
  const newest = expected + facts.size
  const isExplained =
    !facts.has(expected) ||
    contentBetween(timeline, task, expected, newest + 1).some(
      (fact) => (timeline.callOf(fact)?.start ?? -Infinity) <= end,
    )
  findings.expect(
    property,
    isExplained,
    () => `was refused on version ${expected}, after which nothing had changed the task`,
    () => [facts.get(expected), call],
  )
}
