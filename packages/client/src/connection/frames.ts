// Frames of the protocol as the client reads them, and the order of cursors.
import type { EventType } from '../../../../src/model/event.ts'
import type { ServerFrame } from '../../../../src/model/frames.ts'

export type SignalFrame = Extract<ServerFrame, { t: 'signal' }>
export type PresenceFrame = Extract<ServerFrame, { t: 'presence' }>
export type SignalKind = SignalFrame['kind']

/** An entry of the log. A newer server may know more types than this client. */
export type Event = Omit<Extract<ServerFrame, { t: 'event' }>, 'type'> & { type: EventType | (string & {}) }

/** The number in a cursor: entries without a version of their own are compared by it. */
export const seqOf = (cursor: string): number => Number(cursor.slice(cursor.lastIndexOf('.') + 1))

/** Whether two cursors count the same numbers: those of one shard in one epoch. */
export const isSameShard = (a: string, b: string): boolean =>
  a.slice(0, a.lastIndexOf('.')) === b.slice(0, b.lastIndexOf('.'))

/** The frame in a text, or null for one this client cannot read. */
export const readFrame = (text: unknown): ServerFrame | null => {
  if (typeof text !== 'string') return null
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 't' in value && typeof value.t === 'string'
      ? // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the server's contract, distinguished by `t`
        (value as ServerFrame)
      : null
  } catch {
    return null
  }
}
