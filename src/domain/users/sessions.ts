// Sessions after sign-in: refreshing, listing and ending them. Every end of a session is a control entry in the scope
// of its user, in the same transaction, so that each process refuses the session's tokens.
import type { Tokens } from '../../auth/tokens.ts'
import type { Config } from '../../config.ts'
import type { Tx, CallerDatabase } from '../../db/client.ts'
import {
  countSessions,
  insertSession,
  lockSessionOfToken,
  revokeOldestSessions,
  revokeSession,
  revokeSessions,
  rotateToken,
  selectKnownTokens,
  selectRecentAddresses,
  selectRefreshToken,
  selectSessions,
} from '../../db/users/sessions.ts'
import { revokePersonalTokens } from '../../db/users/personal-tokens.ts'
import { selectCredentialsById } from '../../db/users/users.ts'
import { readList, type ListedAt } from '../list.ts'
import { write, type WriteDeps } from '../write.ts'
import { AppError, notFound } from '../../errors.ts'
import { userScope } from '../../model/scope.ts'
import { sessionIdOf, systemActorFor, type Actor } from '../../model/actor.ts'
import type { Control, Entry } from '../../model/event.ts'
import type { Slice } from '../../model/page.ts'
import { newId } from '../../model/scalar.ts'
import { accessTokenSeconds, type Session, type SessionAnswer, type User } from '../../model/user.ts'

export type SessionDeps = WriteDeps & { tokens: Tokens; config: Config }

/** The device of a sign-in, as shown in the list of sessions. */
export interface Device {
  userAgent: string
  ip: string
  /** Under whose limits database calls run while there is no user: `address:<key>`. */
  caller: string
}

/** A session that no client has received yet. */
export interface OpenedSession {
  user: User
  sessionId: string
  refreshToken: string
}

interface Refused {
  code: 'unauthenticated' | 'refresh_reused'
}

/** For two tabs and lost responses: a token may be refreshed again for this long, with the same result. */
const graceSeconds = 10
const maxUserAgent = 300
/** How long an account keeps a bucket of its own at an address it signed in from. */
const recentDays = 30

/**
 * Opens a session for a user whose row the transaction has locked or made, and ends the oldest of those beyond
 * `sessionsPerUser`. Also returns the entries.
 */
export const openSession = async (
  tx: Tx,
  user: User,
  device: Device,
  { sessionsPerUser }: Pick<Config, 'sessionsPerUser'>,
): Promise<{ opened: OpenedSession; entries: Entry[] }> => {
  const refreshToken = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')
  const sessionId = newId()
  await insertSession(tx, {
    id: sessionId,
    userId: user.id,
    tokenHash: hashOf(refreshToken),
    userAgent: device.userAgent.slice(0, maxUserAgent),
    ip: device.ip,
  })
  const ended = await revokeOldestSessions(tx, user.id, sessionsPerUser)
  return {
    opened: { user, sessionId, refreshToken },
    entries: ended.map((id) => sessionEnded(user.id, id)),
  }
}

export const sessionAnswerOf = async (
  { tokens }: { tokens: Tokens },
  { user, sessionId, refreshToken }: OpenedSession,
): Promise<SessionAnswer> => ({
  user,
  accessToken: await tokens.sign({ userId: user.id, sessionId }),
  expiresIn: accessTokenSeconds,
  refreshToken,
})

/**
 * Spends a refresh token for its one successor. 401 `unauthenticated` for what is no live token, 401
 * `refresh_reused` for one whose successor was refreshed itself, longer ago than the grace: then the whole session
 * ends. Runs under the limits of `caller`.
 */
export const refreshSession = async (
  deps: SessionDeps,
  token: string,
  caller: string,
): Promise<SessionAnswer> => {
  const { value: result } = await write<OpenedSession | Refused>(
    deps,
    { actor: systemActorFor(caller), claim: null },
    async (tx) => {
      const refused = (code: Refused['code']) => ({ value: { code }, entries: [] })
      const spent = hashOf(token)
      const session = await lockSessionOfToken(tx, spent)
      const found = session && (await selectRefreshToken(tx, spent, graceSeconds))
      if (!found || found.state === 'expired') return refused('unauthenticated')
      const candidates = successorsOf(deps.config, token)
      const successor = found.state === 'fresh' ? null : await issuedSuccessorOf(tx, candidates)
      // A token spent long ago: its response was lost as long as its successor is unused; a theft once it was used.
      if (found.state === 'spent' && (successor === null || successor.isSpent)) {
        const ended = session.isLive && (await revokeSession(tx, session.userId, session.id))
        return {
          ...refused('refresh_reused'),
          entries: ended ? [sessionEnded(session.userId, session.id)] : [],
        }
      }
      const account = session.isLive ? await selectCredentialsById(tx, session.userId) : null
      if (!account || account.isDisabled) return refused('unauthenticated')
      if (found.state === 'repeat' && successor === null) return refused('unauthenticated')
      const refreshToken = successor?.token ?? (await rotate(tx, session.id, spent, candidates))
      return { value: { user: account.user, sessionId: session.id, refreshToken }, entries: [] }
    },
  )
  if ('code' in result) throw new AppError(result.code)
  return sessionAnswerOf(deps, result)
}

const rotate = async (
  tx: Tx,
  sessionId: string,
  spent: Uint8Array,
  [successor]: string[],
): Promise<string> => {
  await rotateToken(tx, { sessionId, spent, successor: hashOf(successor!) })
  return successor!
}

/** The candidate that was given out: the signing key may have changed in between. Null where its key is gone. */
const issuedSuccessorOf = async (
  tx: Tx,
  candidates: string[],
): Promise<{ token: string; isSpent: boolean } | null> => {
  const hashes = candidates.map(hashOf)
  const [known] = await selectKnownTokens(tx, hashes)
  if (!known) return null
  const index = hashes.findIndex((hash) => Buffer.compare(hash, known.tokenHash) === 0)
  return { token: candidates[index]!, isSpent: known.isSpent }
}

/** Ends the session a refresh token belongs to, spent or not; a token of none, or of one that ended, is fine. */
export const endSessionOfToken = async (deps: WriteDeps, token: string, caller: string): Promise<void> => {
  await write(deps, { actor: systemActorFor(caller), claim: null }, async (tx) => {
    const session = await lockSessionOfToken(tx, hashOf(token))
    const ended = session?.isLive && (await revokeSession(tx, session.userId, session.id))
    return { value: null, entries: ended ? [sessionEnded(session.userId, session.id)] : [] }
  })
}

/** Ends one of the actor's sessions, also the current one. 404 when it has no such session. */
export const endSession = async (deps: WriteDeps, actor: Actor, id: string): Promise<void> => {
  const { userId } = actor
  await write(deps, { actor, claim: null }, async (tx) => {
    if (!(await revokeSession(tx, userId, id))) throw notFound()
    return { value: null, entries: [sessionEnded(userId, id)] }
  })
}

/** Ends the session that authenticated the actor. 403 `insufficient_scope` where another credential did. */
export const endCurrentSession = (deps: WriteDeps, actor: Actor): Promise<void> => {
  const sessionId = sessionIdOf(actor)
  if (sessionId === null)
    throw new AppError('insufficient_scope', 'The request was not authenticated by a session')
  return endSession(deps, actor, sessionId)
}

/** Ends all of the actor's sessions, this one too, and revokes the personal access tokens. */
export const endAllSessions = async (deps: WriteDeps, actor: Actor): Promise<void> => {
  await write(deps, { actor, claim: null }, async (tx) => ({
    value: null,
    entries: await endSessions(tx, actor.userId, null),
  }))
}

/** Ends all sessions of a user but `except`, revokes all personal access tokens, and returns the entries. */
export const endSessions = async (
  tx: Tx,
  userId: string,
  except: string | null,
  actorId: string | null = userId,
): Promise<Entry[]> => {
  await revokeSessions(tx, userId, except)
  await revokePersonalTokens(tx, userId)
  return [controlEntry(userId, { kind: 'sessions', except }, actorId)]
}

/** The actor's live sessions, last used first. Not kept: their use and their expiry have no entries. */
export const listSessions = (
  { db }: { db: CallerDatabase },
  actor: Actor,
  slice: Slice,
): Promise<ListedAt<Session>> =>
  readList({ db }, actor.userId, slice, {
    select: (sql) => selectSessions(sql, actor.userId, sessionIdOf(actor), slice),
    count: (sql) => countSessions(sql, actor.userId),
    item: (session) => session,
    key: ({ lastSeenAt, id }) => [lastSeenAt, id],
  })

/** Addresses from which the account signed in within 30 days; none for no account. */
export const recentAddresses = (
  { db }: { db: CallerDatabase },
  caller: string,
  userId: string | null,
): Promise<string[]> => db.of(caller).read((sql) => selectRecentAddresses(sql, userId, recentDays))

const sessionEnded = (userId: string, sessionId: string): Entry =>
  controlEntry(userId, { kind: 'session', sessionId })

/**
 * An instruction about a user to every server process; clients notice it by closed sockets and refused tokens.
 * @param actorId null for the system itself.
 */
export const controlEntry = (userId: string, control: Control, actorId: string | null = userId): Entry => ({
  scope: userScope(userId),
  type: 'control',
  id: null,
  actorId,
  control,
})

const hashOf = (token: string): Uint8Array => new Bun.CryptoHasher('sha256').update(token).digest()

/** The token's only successor under each key, the signing one first. Derived, so that it need not be stored. */
const successorsOf = ({ jwtKeys }: Pick<Config, 'jwtKeys'>, token: string): string[] =>
  jwtKeys.map(({ secret }) => {
    const key = new Bun.CryptoHasher('sha256', secret).update('tasktide refresh token v1').digest()
    return new Bun.CryptoHasher('sha256', key).update(token).digest('base64url')
  })
