// Many writes in one transaction, each with its own outcome.
//
// Problem: a write alone is about ten statements, five round trips, one COMMIT and one hold of its shard's lock, of which
// the work itself is the smallest part. Ways compared: (1) one multi-row statement for each kind of request is fastest,
// but every kind needs its own, and two kinds in one batch (a creation and a change of the same task) see each other's
// rows only through SQL. (2) A group commit, in which the works of several requests share a connection: interleaved, they
// lose the isolation that row locks give; one after another, each pays its round trips (0.4 ms). The way chosen: a write
// is data (`TaskPlan`). The batch locks and reads what all members need, decides them one after another in memory, each
// seeing the effects of those before it, stores the resulting rows, appends all entries and commits:
//
//   begin · claim all keys · lock projects, lock tasks · read       one round trip (two where a tree may change)
//   decide each member                                              no round trip
//   insert · update · delete · lock shards · append · commit        one round trip
//
// A member whose decision throws had no effect and gets its own error. A failed statement fails the transaction, and the
// members run again alone, so that errors stay individual. The isolation is that of one transaction after another: the
// members of a batch are in the order of their arrival, and what other transactions hold is locked.
import type { Tx } from '../db/client.ts'
import type { Pipelined } from '../db/pipelined.ts'
import { appendWrites, type Appended } from '../db/log/append.ts'
import {
  claimIdempotencyKey,
  claimIdempotencyKeys,
  keyText,
  unclaimIdempotencyKeys,
  type KeyOfUser,
} from '../db/log/idempotency.ts'
import type { StoredResponse } from '../model/stored-response.ts'
import {
  hasTrees,
  lockAndReadState,
  readState,
  storeState,
  treesOf,
  type TreeLocks,
} from './tasks/load-state.ts'
import { sumOfNeeds, type TaskNeeds } from './tasks/task-needs.ts'
import type { TaskPlan } from './tasks/task-plan.ts'
import { NotLoaded, type TaskState } from './tasks/task-state.ts'
import { claimedResponse, replay, type Effect, type WriteRequest, type WriteResult } from './write.ts'

/** A request's write. */
export interface BatchMember<T = unknown> {
  request: WriteRequest<T>
  plan: TaskPlan<T>
  /** `traceparent` of the request; null where it is not traced. */
  trace: string | null
}

/** The result of a member; `deferred`: it has to run in another batch or alone, `unbatched`: alone. */
export type MemberOutcome<T = unknown> =
  | { kind: 'done'; result: WriteResult<T> }
  | { kind: 'failed'; error: unknown }
  | { kind: 'deferred' }
  | { kind: 'unbatched' }

export interface BatchResult {
  /** In the order of the members. */
  outcomes: MemberOutcome[]
  /** Null where nothing was appended. */
  appended: Appended | null
}

/** A member's decision: its effect is in the state. */
interface Decision {
  kind: 'decided'
  effect: Effect<unknown>
  response: StoredResponse | null
}

type Step = Decision | Exclude<MemberOutcome, { kind: 'done' }>

const deferred = { kind: 'deferred' } as const
const unbatched = { kind: 'unbatched' } as const

/** The key of a member's claim; null without one. */
export const keyOf = <T>({ request: { actor, claim } }: BatchMember<T>): KeyOfUser | null =>
  claim && { ...claim, userId: actor.userId }

/** A promise that is awaited later, together with others: until then its rejection is not unhandled. */
const later = <T>(promise: Promise<T>): Promise<T> => {
  promise.catch(() => {})
  return promise
}

const needsOf = (members: BatchMember[]): TaskNeeds => sumOfNeeds(members.map(({ plan }) => plan.needs))

/**
 * Runs members whose keys are all different. A member that cannot be decided here is not: its rows are locked by another
 * transaction, its key has a stored response, or it needs rows that only a member before it made necessary. A batch waits for no row lock, so that one member cannot hold up the others.
 */
export const runBatch = async (tx: Tx, members: BatchMember[]): Promise<Pipelined<BatchResult>> => {
  const keys = members.flatMap((member) => keyOf(member) ?? [])
  const claiming = later(
    keys.length > 0 ? claimIdempotencyKeys(tx, keys) : Promise.resolve(new Set<string>()),
  )
  const { trees, refused } = await readTrees(tx, members)
  const [claimed, state] = await Promise.all([
    claiming,
    lockAndReadState(tx, needsOf(members), trees, 'skip'),
  ])
  const isClaimed = (key: KeyOfUser): boolean => claimed.has(keyText(key))
  const steps = members.map((member): Step => {
    const key = keyOf(member)
    if (key && !isClaimed(key)) return unbatched // an equal request was answered before: its response is replayed
    return refused.get(member) ?? decide(state, member)
  })
  // What failed keeps nothing under its key.
  const unclaimed = members
    .flatMap((member, index) => (steps[index]!.kind === 'decided' ? [] : (keyOf(member) ?? [])))
    .filter(isClaimed)
  return storeAndAppend(tx, state, members, steps, unclaimed)
}

/**
 * Runs one member as `runBatch` would, but waits: for row locks, and for an equal request with its key, whose response it
 * replays. Throws what the member's decision throws.
 */
export const runAlone = async <T>(
  tx: Tx,
  member: BatchMember<T>,
): Promise<{ result: WriteResult<T>; appended: Appended | null }> => {
  const { request, plan } = member
  const { actor, claim } = request
  const stored = claim && (await claimIdempotencyKey(tx, actor.userId, claim))
  if (stored) return { result: await replay(tx, { actor, claim }, stored), appended: null }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what a plan decides is what its claim renders
  const members = [member as BatchMember]
  const { trees, refused } = await readTrees(tx, members)
  for (const { error } of refused.values()) throw error
  const state = await lockAndReadState(tx, plan.needs, trees, 'wait')
  const step = decide(state, members[0]!)
  if (step.kind === 'failed') throw step.error
  if (step.kind !== 'decided') throw new Error('a write alone needs rows that it has not named')
  const { sent } = await storeAndAppend(tx, state, members, [step], [])
  const { outcomes, appended } = await sent
  const [outcome] = outcomes
  if (outcome?.kind !== 'done') throw new Error('a decided write has no result')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as above
  return { result: outcome.result as WriteResult<T>, appended }
}

/** Reads, without locks, which trees the members lock; members whose request ends there. No statement where none does. */
const readTrees = async (
  tx: Tx,
  members: BatchMember[],
): Promise<{ trees: TreeLocks; refused: Map<BatchMember, { kind: 'failed'; error: unknown }> }> => {
  const trees: TreeLocks = { projects: new Set(), roots: new Set() }
  const refused = new Map<BatchMember, { kind: 'failed'; error: unknown }>()
  const changing = members.filter(({ plan }) => hasTrees(plan.needs))
  if (changing.length === 0) return { trees, refused }
  const seen = await readState(tx, needsOf(changing))
  for (const member of changing) {
    try {
      const { projects, roots } = treesOf(seen, member.plan.needs)
      for (const id of projects) trees.projects.add(id)
      for (const id of roots) trees.roots.add(id)
    } catch (error) {
      refused.set(member, { kind: 'failed', error })
    }
  }
  return { trees, refused }
}

/** Decides a member and renders its response; without effect on the state where either throws. */
const decide = (state: TaskState, { request: { claim }, plan }: BatchMember): Step => {
  const mark = state.mark()
  try {
    const effect = plan.decide(state)
    return { kind: 'decided', effect, response: claim && claim.toResponse(effect.value) }
  } catch (error) {
    state.rollback(mark)
    return error instanceof NotLoaded ? deferred : { kind: 'failed', error }
  }
}

/** Sends what stores the decided members, with the append as the last statement. */
const storeAndAppend = async (
  tx: Tx,
  state: TaskState,
  members: BatchMember[],
  steps: Step[],
  unclaimed: KeyOfUser[],
): Promise<Pipelined<BatchResult>> => {
  const isEmpty = steps.every(({ kind }) => kind !== 'decided')
  if (isEmpty) {
    const outcomes = steps.map((step) => (step.kind === 'decided' ? deferred : step))
    return { isEmpty, sent: Promise.resolve({ outcomes, appended: null }) }
  }
  const dropping = unclaimed.length > 0 ? later(unclaimIdempotencyKeys(tx, unclaimed)) : null
  const newIds = members.flatMap(({ plan }) => plan.needs.newIds)
  const storing = await storeState(tx, state, newIds)
  const appending = append(tx, members, steps)
  return { isEmpty, sent: later(Promise.all([appending, storing.sent, dropping]).then(([result]) => result)) }
}

const append = async (tx: Tx, members: BatchMember[], steps: Step[]): Promise<BatchResult> => {
  const writes = steps.map((step, index) => {
    if (step.kind !== 'decided') return { entries: [] }
    const { request, trace } = members[index]!
    const { actor, claim } = request
    const { entries, cursorScope = null, subject } = step.effect
    const claimed = claim && step.response && claimedResponse({ actor, claim }, step.response, subject)
    return { entries, op: claim?.key ?? null, cursorScope, claimed, overrides: actor.overrides, trace }
  })
  const { writes: written, ...appended } = await appendWrites(tx, writes)
  const outcomes = steps.map((step, index): MemberOutcome => {
    if (step.kind !== 'decided') return step
    const { effect, response } = step
    return { kind: 'done', result: { kind: 'written', value: effect.value, response, ...written[index]! } }
  })
  return { outcomes, appended: appended.entries.length > 0 ? appended : null }
}
