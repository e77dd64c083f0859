// What the close code of a connection requires. Ranges decide, so that unknown codes are handled too:
// 1xxx and 40xx reconnect with the cursor, 44xx get new credentials first, 45xx stop.
import type { StopReason } from '../errors.ts'

export type Verdict =
  /** Reconnect with the cursor, after backing off. */
  | { do: 'reconnect' }
  /** As `reconnect`, with new credentials. */
  | { do: 'renew' }
  /** Reconnect with the same credentials after half a minute. */
  | { do: 'wait' }
  /** Do not reconnect before the user acts. */
  | { do: 'stop'; reason: StopReason }

export const verdictOf = (code: number): Verdict => {
  if (code === 1009) return { do: 'stop', reason: 'too_large' }
  if (code === 4409) return { do: 'stop', reason: 'too_many_connections' }
  if (code === 4429) return { do: 'wait' }
  if (code >= 4400 && code < 4500) return { do: 'renew' }
  if (code >= 4500 && code < 4600) return { do: 'stop', reason: 'protocol' }
  return { do: 'reconnect' }
}
