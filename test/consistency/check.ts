// Checks a recorded history. Pure, in the time of a sort: each property is a pass over calls, frames or entries that
// looks up what it compares with.
import type { History } from './history.ts'
import { checkAtomicVisibility } from './properties/atomic.ts'
import { checkConvergence } from './properties/convergence.ts'
import { checkLogOrder } from './properties/log-order.ts'
import { checkRegisters } from './properties/registers.ts'
import { checkRevocationOrder } from './properties/revocation.ts'
import { checkSessionOrder } from './properties/session-order.ts'
import { checkThinAir } from './properties/thin-air.ts'
import { checkViews } from './properties/views.ts'
import { Findings, type Report } from './report.ts'
import { Timeline } from './timeline.ts'

export const checkHistory = (history: History): Report => {
  const findings = new Findings()
  const timeline = new Timeline(history)
  if (history.dropped > 0)
    findings.expect('no thin air', false, () => `${history.dropped} events did not fit into the recorder`)
  checkLogOrder(timeline, findings)
  const seenBefore = checkSessionOrder(timeline, findings)
  checkViews(timeline, findings, seenBefore)
  checkAtomicVisibility(timeline, findings)
  checkThinAir(timeline, findings)
  checkRegisters(timeline, findings)
  checkConvergence(timeline, findings)
  checkRevocationOrder(timeline, findings)
  return findings.report()
}
