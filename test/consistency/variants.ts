// The product with one mechanism of consistency removed: edits of its source, applied as the process loads it
// (`chaos/variant.ts`). A run on each must be named by the checker, by the properties listed in `controls.ts`.
import type { Edit } from '../chaos/edit.ts'

export const consistencyVariants: Record<string, Edit[]> = {
  /** A conditional write succeeds on every version. */
  'if-match-ignored': [
    {
      file: 'domain/version.ts',
      from: 'if (seen === null || seen.some((one) => contentVersion <= one && one <= version)) return',
      to: 'if (seen === null || seen.length > 0) return',
    },
  ],
  /** The condition holds one version too long. */
  'if-match-one-late': [
    { file: 'domain/version.ts', from: 'contentVersion <= one &&', to: 'contentVersion <= one + 1 &&' },
  ],
  /** Counters fail a condition. */
  'if-match-on-counters': [
    {
      file: 'domain/version.ts',
      from: 'contentVersion <= one && one <= version',
      to: 'one === version',
    },
  ],
  /** Every claim of a key succeeds: an equal request runs again. */
  'claim-ignored': [
    {
      file: 'db/log/idempotency.ts',
      from: "where idempotency_keys.created_at < now() - interval '24 hours'\n    returning",
      to: 'where true\n    returning',
    },
  ],
  /** The row locks of tasks are dropped: two servers change one version. */
  'task-lock-off': [
    {
      file: 'db/tasks/task-loads.ts',
      from: '    order by id\n    for no key update ${ending(tx, mode)}`\n  return rows.map(({ id }) => id)',
      to: '    order by id`\n  return rows.map(({ id }) => id)',
    },
  ],
  /** A change sometimes keeps the version. */
  'version-not-raised': [
    {
      file: 'domain/tasks/task-effects.ts',
      from: 'version: task.version + steps, updatedAt: at',
      to: 'version: task.version + (Math.random() < 0.2 ? 0 : steps), updatedAt: at',
    },
  ],
  /** A kept list is sent whatever the heads of its scopes are. */
  'heads-ignored': [
    { file: 'http/kept-answers.ts', from: 'if (heads === kept.heads) {', to: "if (heads !== '') {" },
  ],
  /** A list is read by two statements. */
  'list-torn': [
    {
      file: 'domain/tasks/task-list.ts',
      from: 'const page = listed(rows, slice.limit, { item: withoutKey, key: sortKeyOf })',
      to: `await Bun.sleep(10)
      const later = await selectTaskPage(sql, actor.userId, filter, order, slice)
      const torn = later.map((row, index) => (index % 2 ? row : (rows.find((one) => one.id === row.id) ?? row)))
      const page = listed(torn, slice.limit, { item: withoutKey, key: sortKeyOf })`,
    },
  ],
  /** A read joins the statement of the tick before. */
  'read-of-the-tick-before': [
    {
      file: 'db/coalesced-read.ts',
      from: '    if (held) return held.promise\n    if (waiting.size',
      to: `    if (held) return held.promise
    const ticks = (globalThis.ticks ??= new Map())
    const tick = ticks.get(caller + id)
    if (tick && performance.now() - tick.at < 30) return tick.promise
    if (waiting.size`,
    },
    {
      file: 'db/coalesced-read.ts',
      from: '    this.#waiting += 1\n    this.#schedule()\n    return promise',
      to: '    this.#waiting += 1\n    globalThis.ticks.set(caller + id, { at: performance.now(), promise })\n    this.#schedule()\n    return promise',
    },
  ],
  /** The members of a batch receive each other's answers. */
  'answers-swapped': [
    {
      file: 'domain/write-coalescer.ts',
      from: 'this.#settle(pending, outcomes[index]!)',
      to: 'this.#settle(pending, outcomes[batch.length - 1 - index]!)',
    },
  ],
  /** A member of a batch that was rolled back is answered 200. */
  'failed-member-answered': [
    {
      file: 'domain/write-batch.ts',
      from: "    return { kind: 'decided', effect, response: claim && claim.toResponse(effect.value) }",
      to: `    const step = { kind: 'decided', effect, response: claim && claim.toResponse(effect.value) }
    if (Math.random() > 0.1) return step
    state.rollback(mark)
    return { ...step, effect: { ...effect, entries: [] } }`,
    },
  ],
  /** The operations of a batch are logged in reverse order. */
  'entries-reversed': [
    {
      file: 'domain/tasks/task-batch.ts',
      from: 'entries: done.flatMap(({ entries }) => entries),',
      to: 'entries: done.toReversed().flatMap(({ entries }) => entries),',
    },
  ],
  /** Of a deletion with subtasks only the root is logged. */
  'subtasks-unlogged': [
    {
      file: 'domain/tasks/task-decisions.ts',
      from: 'const entries = ids.toReversed().flatMap((gone) => {',
      to: 'const entries = [id].flatMap((gone) => {',
    },
  ],
  /** The last entry of a transaction is pushed without its frame. */
  'last-entry-unsent': [
    {
      file: 'db/log/append.ts',
      from: "const hasFrame = !quiet && entry.type !== 'control'",
      to: "const hasFrame = !quiet && entry.type !== 'control' && !(entries.length > 1 && entry === entries.at(-1))",
    },
  ],
  /** A resumed subscription receives the entry of its cursor again. */
  'cursor-entry-repeated': [
    {
      file: 'ws/subscription.ts',
      from: 'this.#position = start.from\n',
      to: 'this.#position = start.from - 1\n',
    },
  ],
  /** Entries of one batch are sent in reverse order. */
  'frames-reversed': [
    {
      file: 'ws/subscription.ts',
      from: `    for (const entry of entries) {
      if (this.#state === 'over') return
      if (entry.seq <= this.#position || entry.scope !== this.start.scope) continue`,
      to: `    const due = entries.filter((entry) => entry.seq > this.#position && entry.scope === this.start.scope)
    for (const entry of due.toReversed()) {
      if (this.#state === 'over') return`,
    },
  ],
  /** A live subscription sends entries of its own user at once, and those of others a second later: longer than a write takes. */
  'own-entries-first': [
    {
      file: 'ws/subscription.ts',
      from: '      this.#sendEntries(entries)\n',
      to: `      const isOwn = entries.every((entry) => entry.control !== null || entry.actorId === this.connection.userId)
      if (isOwn) this.#sendEntries(entries)
      else setTimeout(() => this.#sendEntries(entries), 1_000)\n`,
    },
  ],
  /** A subscription becomes live although the server has sent on what it has not read yet. */
  'hand-off-early': [
    {
      file: 'ws/subscription.ts',
      from: 'if (this.#position < Math.max(this.start.head, this.#tailPosition())) return false',
      to: 'if (this.#position < this.start.head) return false',
    },
  ],
  /** A replay from memory begins one entry late. */
  'ring-skips': [
    {
      file: 'changelog/follower/ring.ts',
      from: 'const from = start + after + 1 - first',
      to: 'const from = start + after + 1 - first + (after + 1 < entries.at(-1)!.seq ? 1 : 0)',
    },
  ],
  /** A page of \`/api/sync\` begins one number late. */
  'sync-skips': [
    {
      file: 'db/log/sync.ts',
      from: 'where scope = ${scope} and seq > ${after} and seq <= ${upTo}\n      order by seq',
      to: 'where scope = ${scope} and seq > ${after + 1} and seq <= ${upTo}\n      order by seq',
    },
  ],
  /** A subscription that is live outlives its revocation. */
  'revocation-not-live': [
    {
      file: 'ws/subscription.ts',
      from: "entry.control?.kind === 'revoke' && entry.control.userId === this.connection.userId",
      to: "this.#state !== 'live' && entry.control?.kind === 'revoke' && entry.control.userId === this.connection.userId",
    },
  ],
  /** After a new grant the entries from before it are replayed, past the revocation. */
  'revocation-not-replayed': [
    {
      file: 'domain/sync.ts',
      from: "if (missed.changedHands) return { kind: 'resync', reason: 'access' }",
      to: '',
    },
    {
      file: 'ws/subscription.ts',
      from: "entry.control?.kind === 'revoke' && entry.control.userId === this.connection.userId",
      to: "this.#state === 'live' && entry.control?.kind === 'revoke' && entry.control.userId === this.connection.userId",
    },
  ],
  /** The cursor of a snapshot is read before the snapshot. */
  'snapshot-cursor-early': [
    {
      file: 'domain/snapshot-pages.ts',
      from: 'const shard = shardOf(projectScope(projectId))\n        const { epoch, seq } = await readHead(tx, shard)',
      to: 'const shard = shardOf(projectScope(projectId)); const { epoch, seq } = await db.of(userId).read((sql) => readHead(sql, shard)); await Bun.sleep(10)',
    },
  ],
  /** The cursor of a snapshot is read after it. */
  'snapshot-cursor-late': [
    {
      file: 'domain/snapshot-pages.ts',
      from: 'const cursor = place?.cursor ?? formatCursor({ epoch, shard, seq })',
      to: 'await Bun.sleep(10); const late = await db.of(userId).read((sql) => readHead(sql, shard)); const cursor = place?.cursor ?? formatCursor({ ...late, shard })',
    },
  ],
  /** A shared snapshot is sent to whoever has written since. */
  'snapshot-shared-stale': [
    {
      file: 'domain/snapshot.ts',
      from: 'if (!(await this.#isOutdated(actor, projectId, page))) {',
      to: 'if (page) {',
    },
  ],
  /** Each statement of a snapshot sees its own moment. */
  'snapshot-read-committed': [
    {
      file: 'db/client.ts',
      from: "'isolation level repeatable read read only'",
      to: "'isolation level read committed read only'",
    },
  ],
}
