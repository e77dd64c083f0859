// From a token to the person behind it. Invariant: whoever is accepted was still welcome in that very tick. A look at
// the session may be older than what the log has said of it meanwhile; then it is looked at again.
import type { Identity } from '../auth/authenticator.ts'
import { userScope } from '../model/scope.ts'
import { AppError, unavailable } from '../errors.ts'
import { type Control, type LogEntry } from '../model/event.ts'
import type { CloseReason } from '../model/frames.ts'
import type { SocketDeps } from './connection-handle.ts'

const maxLooks = 3

/** Calls `accept` with who the token stands for and answers what it answers. @throws AppError, see `closeReasonOf`. */
export const identify = async <T>(
  { authenticator, follower }: Pick<SocketDeps, 'authenticator' | 'follower'>,
  token: string,
  accept: (identity: Identity) => T,
): Promise<T> => {
  let heard: LogEntry[] = []
  const leave = follower.onControl((entry) => heard.push(entry))
  try {
    for (let look = 1; look <= maxLooks; look += 1) {
      heard = []
      const { epoch } = follower
      const identity = await authenticator.authenticate(token)
      const { userId, sessionId } = identity.actor
      const isStale = heard.some(
        ({ scope, control }) =>
          scope === userScope(userId) && closeReasonForControl(control, sessionId) !== null,
      )
      if (!isStale && epoch === follower.epoch) return accept(identity)
    }
    throw unavailable()
  } finally {
    leave()
  }
}

/** What a control entry of a person's scope means for a socket of that session; null for nothing. */
export const closeReasonForControl = (control: Control | null, sessionId: string): CloseReason | null => {
  switch (control?.kind) {
    case 'role':
      return 'position_lost'
    case 'disabled':
      return 'revoked'
    case 'session':
      return control.sessionId === sessionId ? 'revoked' : null
    case 'sessions':
      return control.except === sessionId ? null : 'revoked'
    default:
      return null
  }
}

/** The close that a refused token deserves; throws what is no refusal. */
export const closeReasonOf = (error: unknown): CloseReason => {
  if (!(error instanceof AppError)) throw error
  if (error.kind === 'unavailable' || error.kind === 'rate_limited') return 'overloaded'
  return error.code === 'user_disabled' || error.details.extra?.['reason'] === 'revoked'
    ? 'revoked'
    : 'token_expired'
}
