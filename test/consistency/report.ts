// What a check found: for each property how many observations were compared, and each violation with the events that
// contradict each other.
import { printRows } from './table.ts'
import { propertyNames, type Property } from './properties.ts'
import type { HistoryEvent, LogFact } from './history.ts'

export interface Violation {
  property: Property
  text: string
  /** The smallest piece of the history that shows it, in order. */
  evidence: (HistoryEvent | LogFact)[]
}

export interface Row {
  property: Property
  /** Comparisons made; a property with none proves nothing. */
  checked: number
  violations: number
}

export interface Report {
  rows: Row[]
  /** The first of each property. */
  violations: Violation[]
}

/** Violations of one property that are kept; all are counted. */
const kept = 10

export class Findings {
  readonly #checked = new Map<Property, number>()
  readonly #counts = new Map<Property, number>()
  readonly #violations: Violation[] = []

  /** Counts one comparison; reports a violation where it does not hold. */
  expect(
    property: Property,
    holds: boolean,
    text: () => string,
    evidence: () => (HistoryEvent | LogFact | null | undefined)[] = () => [],
  ): void {
    this.#checked.set(property, (this.#checked.get(property) ?? 0) + 1)
    if (holds) return
    const count = (this.#counts.get(property) ?? 0) + 1
    this.#counts.set(property, count)
    if (count > kept) return
    const found = evidence().filter((one) => one !== null && one !== undefined)
    this.#violations.push({ property, text: text(), evidence: [...new Set(found)] })
  }

  report(): Report {
    const rows = propertyNames.map((property) => ({
      property,
      checked: this.#checked.get(property) ?? 0,
      violations: this.#counts.get(property) ?? 0,
    }))
    return { rows, violations: this.#violations }
  }
}

/** Adds up the reports of several runs. */
export const sumOf = (reports: Report[]): Report => ({
  rows: propertyNames.map((property) => {
    const own = reports.flatMap(({ rows }) => rows.filter((row) => row.property === property))
    return {
      property,
      checked: own.reduce((sum, { checked }) => sum + checked, 0),
      violations: own.reduce((sum, { violations }) => sum + violations, 0),
    }
  }),
  violations: reports.flatMap(({ violations }) => violations),
})

const cut = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length)}…`
const shortened = (text: string): string => cut(text, 500)
const contentOf = (content: string | null): string => cut(content ?? '', 120)
const at = (ms: number): string => (Number.isFinite(ms) ? ms.toFixed(1) : 'never')
const placed = (position: { shard: number; seq: number } | null): string =>
  position ? `${position.shard}.${position.seq}` : '-'

/** One event on one line. */
export const describe = (event: HistoryEvent | LogFact): string => {
  if (!('kind' in event)) {
    const { position, scope, type, entity, version, actor, key, content } = event
    return shortened(
      `log ${placed(position)} ${scope} ${type} ${entity} v${version} by ${actor} (${key}) ${contentOf(content)}`,
    )
  }
  if (event.kind === 'call') {
    const { client, method, target, start, end, status, key, ifMatch, position, replayed, seen } = event
    const shown = seen.map(({ task, version, content }) => `${task} v${version} ${contentOf(content)}`)
    return shortened(
      `${at(start)}-${at(end)} ${client} ${method} ${target} (${key})${ifMatch === null ? '' : ` If-Match ${ifMatch}`} → ${status || 'no answer'}${replayed ? ' replayed' : ''} at ${placed(position)} ${shown.join(', ')}`,
    )
  }
  const { at: when, client, view, scope, position } = event
  return event.kind === 'frame'
    ? shortened(
        `${at(when)} ${client} ${view} ${scope} received ${placed(position)} ${event.type} ${event.entity} v${event.version} ${contentOf(event.content)}`,
      )
    : `${at(when)} ${client} ${view} ${scope} ${event.what} ${placed(position)}`
}

/** A violation with its piece of the history, as lines. */
export const explain = ({ property, text, evidence }: Violation): string[] => [
  `${property}: ${text}`,
  ...evidence.map((event) => `    ${describe(event)}`),
]

/** Consistency × checked × violations. */
export const printReport = ({ rows }: Report): void =>
  printRows([
    ['consistency', 'checked', 'violations'],
    ...rows.map(({ property, checked, violations }) => [property, String(checked), String(violations)]),
  ])
