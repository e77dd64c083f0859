// Atomic visibility: whole reads of a project are states between transactions, and the entries of a transaction are
// consecutive and all for sockets.
import type { Findings } from '../report.ts'
import { isAnswered, isTask, type Timeline } from '../timeline.ts'

export const checkAtomicVisibility = (timeline: Timeline, findings: Findings): void => {
  for (const call of timeline.calls) {
    const scope = call.reads === 'task' || !isAnswered(call) ? null : timeline.scopeOf(call.subject)
    // A version that the log does not have is no thin air's matter.
    if (!scope || call.seen.some(({ task, version }) => !timeline.factOf(task, version))) continue
    if (call.reads === 'list') {
      const { isState, newest, oldest } = scope.intervalOf(call.seen, call.isWhole)
      findings.expect(
        'atomic visibility',
        isState,
        () => 'lists a project as it never was: one task is newer than another may be',
        () => [call, oldest, newest],
      )
    }
    if (call.reads !== 'snapshot' || !call.isWhole || !call.position) continue
    const state = scope.stateAt(call.position.seq)
    findings.expect(
      'atomic visibility',
      state !== null && scope.isStateOf(call.seen, state),
      () => 'is a snapshot that differs from the state at its cursor',
      () => {
        const { newest, oldest } = scope.intervalOf(call.seen, true)
        return [call, oldest, newest]
      },
    )
  }
  for (const scope of timeline.scopes.values()) {
    const runs = new Map<string, number>()
    for (const [index, fact] of scope.facts.entries()) {
      if (fact.key === null || fact.actor === null) continue
      if (isTask(fact.type) && !fact.isQuiet)
        findings.expect(
          'atomic visibility',
          fact.isLoud,
          () => 'is an entry of a transaction that no socket receives',
          () => [scope.facts[index - 1], fact],
        )
      const call = timeline.callOf(fact)
      if (!call) continue
      const key = `${fact.actor} ${fact.key} ${call.target}`
      const transaction = scope.transactions[index]!
      const held = runs.get(key)
      runs.set(key, transaction)
      if (held === undefined) continue
      findings.expect(
        'atomic visibility',
        held === transaction,
        () => 'is an entry apart from the others of its write',
        () => [call, ...timeline.effectsOf(call)],
      )
    }
  }
}
