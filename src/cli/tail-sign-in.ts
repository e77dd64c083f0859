// The session of `tail`: signs in with retries while the server is away, and signs out at the end.
import type { Client } from '../../packages/client/src/client.ts'
import { ApiError, NetworkError } from '../../packages/client/src/errors.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import { messageOf } from '../errors.ts'

export const minBackOffMs = 500
export const maxBackOffMs = 20_000
const signOutDeadlineMs = 2_000

/** Following cannot continue; the message says why. */
export class TailEnded extends Error {}

export interface Credentials {
  email: string
  password: string
}

/** Resolves when signed in, or when the signal aborts. @throws TailEnded where the server refuses the credentials. */
export const signIn = async (
  client: Client,
  credentials: Credentials,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<void> => {
  for (let failures = 1; !signal.aborted; failures += 1) {
    try {
      await client.auth.signIn(credentials, signal)
      return
    } catch (error) {
      if (signal.aborted) return
      if (!isTemporary(error)) throw refusalOf(error)
      const askedMs = error instanceof ApiError ? (error.retryAfterMs ?? 0) : 0
      const waitMs = Math.max(askedMs, backOffMs(failures, minBackOffMs, maxBackOffMs))
      note(`Signing in failed: ${messageOf(error)}; again in ${(waitMs / 1000).toFixed(1)} s`)
      await pause(waitMs, signal)
    }
  }
}

/** Ends the session. A server that cannot be reached is noted: the session then ends when it expires. */
export const signOut = (client: Client, note: (text: string) => void): Promise<void> =>
  client.auth
    .signOut({ signal: AbortSignal.timeout(signOutDeadlineMs) })
    .catch((error: unknown) => note(`Signing out failed: ${messageOf(error)}`))

/** Whether the same request may succeed later: no response, an overloaded server, or one that is away. */
export const isTemporary = (error: unknown): boolean =>
  error instanceof NetworkError ||
  (error instanceof ApiError && (error.status >= 500 || error.status === 429))

const refusalOf = (error: unknown): unknown =>
  error instanceof ApiError
    ? new TailEnded(`Signing in was answered with ${error.status}: ${error.message}`, { cause: error })
    : error
