// Which variants of the product the checker must name, and by which property at least.
import type { Property } from './properties.ts'

export interface ConsistencyControl {
  /** A name in `chaos/variants.ts`. */
  variant: string
  /** What is gone, for the table. */
  title: string
  /** The property that must name it. */
  caughtBy: Property
  /** A fault without which the mechanism is not needed. */
  needs?: 'redis-emptied'
}

export const consistencyControls: ConsistencyControl[] = [
  { variant: 'task-lock-off', title: 'no lock of a task while it is changed', caughtBy: 'no thin air' },
  {
    variant: 'contiguity-unchecked',
    title: 'numbers of a stream are not compared',
    caughtBy: 'convergence',
    needs: 'redis-emptied',
  },
  {
    variant: 'batch-answered-early',
    title: 'answers before COMMIT',
    caughtBy: 'read your writes',
  },
  { variant: 'cursor-ignored', title: 'a resume starts at the head', caughtBy: 'convergence' },
  {
    variant: 'cursor-entry-repeated',
    title: '>= for > at the cursor of a resume',
    caughtBy: 'monotonic reads',
  },
  { variant: 'hand-off-early', title: 'a replay ends at the head of its start', caughtBy: 'convergence' },
  { variant: 'ring-skips', title: 'a replay from memory begins one late', caughtBy: 'convergence' },
  { variant: 'sync-skips', title: 'a page over HTTP begins one late', caughtBy: 'convergence' },
  { variant: 'scope-unchecked', title: 'entries go to every scope', caughtBy: 'no thin air' },
  {
    variant: 'frames-reversed',
    title: 'entries of a batch are sent in reverse',
    caughtBy: 'monotonic reads',
  },
  {
    variant: 'own-entries-first',
    title: 'own entries overtake those of others',
    caughtBy: 'writes follow reads',
  },
  {
    variant: 'entries-reversed',
    title: 'operations of a batch are logged in reverse',
    caughtBy: 'monotonic writes',
  },
  {
    variant: 'last-entry-unsent',
    title: 'a push without the last entry of its transaction',
    caughtBy: 'atomic visibility',
  },
  { variant: 'subtasks-unlogged', title: 'subtasks are deleted without entries', caughtBy: 'convergence' },
  {
    variant: 'if-match-ignored',
    title: 'If-Match is ignored',
    caughtBy: 'linearisable conditional writes',
  },
  {
    variant: 'if-match-one-late',
    title: 'If-Match holds one version too long',
    caughtBy: 'linearisable conditional writes',
  },
  {
    variant: 'if-match-on-counters',
    title: 'counters fail If-Match',
    caughtBy: 'linearisable conditional writes',
  },
  { variant: 'claim-ignored', title: 'Idempotency-Keys are not compared', caughtBy: 'no thin air' },
  { variant: 'version-not-raised', title: 'two changes under one version', caughtBy: 'no thin air' },
  {
    variant: 'answers-swapped',
    title: 'members of a batch get each other’s answers',
    caughtBy: 'no thin air',
  },
  {
    variant: 'failed-member-answered',
    title: 'a rolled back member of a batch is answered 200',
    caughtBy: 'no thin air',
  },
  { variant: 'heads-ignored', title: 'kept lists whatever their heads', caughtBy: 'read your writes' },
  { variant: 'list-torn', title: 'a list by two statements', caughtBy: 'atomic visibility' },
  {
    variant: 'read-of-the-tick-before',
    title: 'reads join a statement that was sent before',
    caughtBy: 'read your writes',
  },
  {
    variant: 'snapshot-cursor-early',
    title: 'the cursor of a snapshot is read before it',
    caughtBy: 'atomic visibility',
  },
  {
    variant: 'snapshot-cursor-late',
    title: 'the cursor of a snapshot is read after it',
    caughtBy: 'atomic visibility',
  },
  {
    variant: 'snapshot-read-committed',
    title: 'statements of a snapshot at their own moments',
    caughtBy: 'atomic visibility',
  },
  {
    variant: 'snapshot-shared-stale',
    title: 'shared snapshots beyond own writes',
    caughtBy: 'read your writes',
  },
  {
    variant: 'revocation-not-live',
    title: 'live subscriptions outlive a revocation',
    caughtBy: 'revocation order',
  },
  {
    variant: 'revocation-not-replayed',
    title: 'revocations are forgotten in a replay',
    caughtBy: 'revocation order',
  },
  // Last: the log that it leaves has numbers twice.
  {
    variant: 'lock-off',
    title: 'no lock of the shard while it is appended to',
    caughtBy: 'monotonic writes',
  },
]
