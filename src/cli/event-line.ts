// An event as one line of text for a terminal. Invariant: no text of an event can steer the terminal.

/** What a line shows of an event. */
export interface ShownEvent {
  at: string
  type: string
  version: number
  id: string | null
  data?: unknown
  changed?: string[]
  cursor: string
}

/** Time, type, version, title or id, changed fields, and the cursor to resume from. */
export const eventLine = ({ at, type, version, id, data, changed, cursor }: ShownEvent): string => {
  const title = typeof data === 'object' && data !== null ? titleOf(data) : null
  return [
    at.slice(11, 19),
    type.padEnd(20),
    `v${version}`.padEnd(5),
    title ?? id ?? '',
    ...(changed ? [`[${changed.join(', ')}]`] : []),
    ` ${cursor}`,
  ].join(' ')
}

/** C1 controls and bidirectional marks: JSON leaves them as they are and terminals obey them. */
const terminalControls = /[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

const titleOf = (data: object): string | null => {
  for (const field of ['title', 'name', 'kind', 'projectId'] as const) {
    const value: unknown = Reflect.get(data, field)
    if (typeof value === 'string') return JSON.stringify(value).replaceAll(terminalControls, '\uFFFD')
  }
  return null
}
