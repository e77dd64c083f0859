// What the end of a connection asks for. Ranges decide, so that a code this client does not know is right too:
// 1xxx and 40xx reconnect with the cursor, 44xx get new credentials first, 45xx stop.
import type { StopReason } from '../errors.ts'

export type Verdict =
  /** Reconnect with the cursor, after backing off. */
  | { do: 'reconnect' }
  /** The same, with new credentials. */
  | { do: 'renew' }
  /** The same credentials, after half a minute. */
  | { do: 'wait' }
  /** Nothing, until a person acts. */
  | { do: 'stop'; reason: StopReason }

export const verdictOf = (code: number): Verdict => {
  if (code === 1009) return { do: 'stop', reason: 'too_large' }
  if (code === 4409) return { do: 'stop', reason: 'too_many_connections' }
  if (code === 4429) return { do: 'wait' }
  if (code >= 4400 && code < 4500) return { do: 'renew' }
  if (code >= 4500 && code < 4600) return { do: 'stop', reason: 'protocol' }
  return { do: 'reconnect' }
}
