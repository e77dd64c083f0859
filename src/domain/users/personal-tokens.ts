// Personal access tokens: making, listing and revoking them. Every revocation is a control entry in the scope of the user,
// in the same transaction, so that each process refuses the token and closes its sockets.
import { newPersonalToken, personalTokenHash } from '../../auth/personal-tokens.ts'
import type { CallerDatabase } from '../../db/client.ts'
import {
  countPersonalTokens,
  insertPersonalToken,
  revokePersonalToken,
  selectPersonalTokens,
} from '../../db/users/personal-tokens.ts'
import { lockUser } from '../../db/users/users.ts'
import { invalid, notFound } from '../../errors.ts'
import type { Actor } from '../../model/actor.ts'
import {
  tokenScopes,
  type IssuedToken,
  type NewPersonalToken,
  type PersonalToken,
} from '../../model/personal-token.ts'
import type { Slice } from '../../model/page.ts'
import { newId, toInstant } from '../../model/scalar.ts'
import { canonicalText } from '../../model/text-form.ts'
import { readList, type ListedAt } from '../list.ts'
import { write, type WriteDeps } from '../write.ts'
import { controlEntry } from './sessions.ts'

/** How many tokens a user may have, expired ones included. */
export const maxPersonalTokens = 100

/** 422 at `/expiresAt` for a time that has passed, and past `maxPersonalTokens`. */
export const createPersonalToken = async (
  deps: WriteDeps,
  actor: Actor,
  { name, scopes, expiresAt = null }: NewPersonalToken,
): Promise<IssuedToken> => {
  const { userId } = actor
  const token = newPersonalToken()
  const { value } = await write(deps, { actor, claim: null }, async (tx) => {
    // One at a time, so that the count holds.
    if (!(await lockUser(tx, userId))) throw notFound()
    const made = await insertPersonalToken(tx, {
      id: newId(),
      userId,
      name: canonicalText(name),
      tokenHash: personalTokenHash(token),
      scopes: tokenScopes.filter((scope) => scopes.includes(scope)),
      expiresAt: expiresAt === null ? null : toInstant(expiresAt),
    })
    if (!made) throw invalid({ pointer: '/expiresAt', detail: 'must be in the future' })
    if ((await countPersonalTokens(tx, userId)) > maxPersonalTokens)
      throw invalid({ pointer: '', detail: `would give you more than ${maxPersonalTokens} tokens` })
    return { value: made, entries: [] }
  })
  return { ...value, token }
}

/** Newest first, also expired ones. Not kept: their creation and use have no entries. */
export const listPersonalTokens = (
  { db }: { db: CallerDatabase },
  { userId }: Actor,
  slice: Slice,
): Promise<ListedAt<PersonalToken>> =>
  readList({ db }, userId, slice, {
    select: (sql) => selectPersonalTokens(sql, userId, slice),
    count: (sql) => countPersonalTokens(sql, userId),
    item: (token) => token,
    key: ({ createdAt, id }) => [createdAt, id],
  })

/** 404 where the actor has no such token. */
export const deletePersonalToken = async (deps: WriteDeps, actor: Actor, id: string): Promise<void> => {
  const { userId } = actor
  await write(deps, { actor, claim: null }, async (tx) => {
    if (!(await revokePersonalToken(tx, userId, id))) throw notFound()
    return { value: null, entries: [controlEntry(userId, { kind: 'token', tokenId: id })] }
  })
}
