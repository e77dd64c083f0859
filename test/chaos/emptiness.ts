// What a run of a fault must contain: a count of 0 says nothing about a run in which nothing happened.
import type { Report } from '../consistency/report.ts'
import type { Counts, Fault } from './fault.ts'

/** What was not injected, done or compared, as violations. */
export const emptinessOf = (
  { injectsNothing = false }: Pick<Fault, 'injectsNothing'>,
  counts: Pick<Counts, 'injected' | 'writes' | 'notified' | 'exact' | 'effects' | 'mails'>,
  { rows }: Pick<Report, 'rows'>,
  { sendsMails }: { sendsMails: boolean },
): string[] => {
  const empty = (what: string, count: number): string[] => (count > 0 ? [] : [what])
  return [
    ...(injectsNothing ? [] : empty('no fault was injected', counts.injected)),
    ...empty('no write was acknowledged', counts.writes),
    ...empty('nothing notified', counts.notified),
    ...empty('no statistics were compared', counts.exact),
    ...empty('no activity was due', counts.effects),
    ...(sendsMails ? empty('no mail was sent', counts.mails) : []),
    ...rows.flatMap(({ property, checked }) => empty(`${property}: nothing was compared`, checked)),
  ]
}
