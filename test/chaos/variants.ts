// Variants of the product for tests: a process that preloads `variant.ts` loads edited source. A control removes one
// mechanism and must be detected; `failpoints` adds points at which the process can kill itself.
import { join } from 'node:path'
import { consistencyVariants } from '../consistency/variants.ts'
import { point, type Edit } from './edit.ts'
import { agedObjects, filePoints } from './files/points.ts'
import { filesVariants } from './files/variants.ts'

/** Named points of the write, the push, the fan-out and the resume. */
export const failpoints = ['uncommitted', 'committed', 'pushing', 'pushed', 'fan-out', 'replay'] as const

/** Named points of batches of at least two writes. */
export const batchFailpoints = ['batch-uncommitted', 'batch-committed'] as const

/** Named points of a worker's consumer on a shard. */
export const workerFailpoints = ['before-effect', 'before-commit', 'after-commit'] as const

/** Named points of the loop that notifies of due times. */
export const dueFailpoints = ['due-settled', 'due-notified', 'due-committed'] as const

/** Named points of jobs: their dispatcher and an attempt. */
export const jobFailpoints = ['job-queued', 'job-claimed', 'job-acted', 'job-committed'] as const

const points: Edit[] = [
  {
    file: 'domain/write.ts',
    from: 'const { cursor, loggedBytes } = appended',
    to: `${point('uncommitted')}; const { cursor, loggedBytes } = appended`,
  },
  {
    // A batch sends COMMIT with its last statement: here it first waits for that.
    file: 'domain/write-batch.ts',
    from: 'const appending = append(tx, members, steps)',
    to: `const appending = append(tx, members, steps); await Promise.all([appending, storing.sent]); ${point('uncommitted')}; if (members.length > 1) ${point('batch-uncommitted')}`,
  },
  {
    file: 'domain/write-coalescer.ts',
    from: '      if (appended) this.deps.publisher.publish(appended)\n',
    to: `      if (appended) { ${point('committed')}; if (batch.length > 1) ${point('batch-committed')}; this.deps.publisher.publish(appended) }\n`,
  },
  {
    file: 'domain/write.ts',
    from: 'if (appended) publisher.publish(appended)\n  return result',
    to: `if (appended) { ${point('committed')}; publisher.publish(appended) }\n  return result`,
  },
  {
    file: 'changelog/publisher.ts',
    from: 'const top = await pushEntries(redis, epoch, shard, batch)',
    to: `const pushing = pushEntries(redis, epoch, shard, batch); setImmediate(() => ${point('pushing')}); const top = await pushing; ${point('pushed')}`,
  },
  {
    file: 'changelog/follower/hub.ts',
    from: '      if (isMore) value.onBacklog',
    to: `      if (count === 2) ${point('fan-out')}\n      if (isMore) value.onBacklog`,
  },
  {
    file: 'ws/subscription.ts',
    from: '        this.#send(entries)\n        if',
    to: `        this.#send(entries); if (entries.length > 0) ${point('replay')}\n        if`,
  },
  {
    file: 'worker/engine/shard-consumer.ts',
    from: '      await this.#commit(batch.at(-1)!.seq, handle, options)\n',
    to: `${point('before-effect')}; await this.#commit(batch.at(-1)!.seq, handle, options); ${point('after-commit')}\n`,
  },
  {
    file: 'worker/engine/shard-consumer.ts',
    from: '      isHandling = false\n      return entries\n',
    to: `      isHandling = false; ${point('before-commit')}; return entries\n`,
  },
  {
    file: 'worker/loops/due.ts',
    from: '  const entries = await createNotifications(tx, notifications)\n',
    to: `  ${point('due-settled')}; const entries = await createNotifications(tx, notifications); ${point('due-notified')}\n`,
  },
  {
    file: 'worker/loops/due.ts',
    from: '    stats.transactions += 1\n',
    to: `    ${point('due-committed')}; stats.transactions += 1\n`,
  },
  {
    file: 'worker/jobs/dispatcher.ts',
    from: 'if (due.length > 0) await addJobs',
    to: `if (due.length > 0) ${point('job-queued')}; if (due.length > 0) await addJobs`,
  },
  {
    file: 'worker/jobs/attempt.ts',
    from: 'using lease = leases.hold(claimed)',
    to: `using lease = leases.hold(claimed); ${point('job-claimed')}`,
  },
  {
    file: 'worker/jobs/attempt.ts',
    from: 'await completeDelivery(tx, claimed)',
    to: `${point('job-acted')}; await completeDelivery(tx, claimed)`,
  },
  {
    file: 'worker/jobs/attempt.ts',
    from: "count(claimed.kind, 'done')",
    to: `${point('job-committed')}; count(claimed.kind, 'done')`,
  },
  ...filePoints,
]

const filesPoints = [...points, agedObjects]

export const variants: Record<string, Edit[]> = {
  ...consistencyVariants,
  failpoints: points,
  files: filesPoints,
  ...Object.fromEntries(
    Object.entries(filesVariants).map(([name, edits]) => [name, [...filesPoints, ...edits]]),
  ),
  /** Writes its resources to a file on SIGUSR2. */
  inspected: [
    // Small rings and few kept answers are full before the first measurement.
    { file: 'changelog/follower/ring.ts', from: 'maxEntries: 2_000', to: 'maxEntries: 20' },
    { file: 'worker/runner.ts', from: 'maxEntries: 1_000', to: 'maxEntries: 20' },
    {
      file: 'http/kept-answers.ts',
      from: 'const { maxBytes = 32 * 1024 * 1024 } = options',
      to: 'const { maxBytes = 1024 * 1024 } = options',
    },
    {
      file: 'app/compose.ts',
      from: 'const server = listen(deps, sockets, listening)',
      to: 'const server = listen(deps, sockets, listening); globalThis.held = () => ({ sockets: sockets.size, scopes: follower.scopeCount, rooms: globalThis.presence.size })',
    },
    {
      file: 'ws/sockets.ts',
      from: 'presence: new Presence(',
      to: 'presence: globalThis.presence = new Presence(',
    },
  ],
  /** The members of a batch are answered before its COMMIT, which follows 200 ms later: a kill each half second meets it. */
  'batch-answered-early': [
    {
      file: 'db/pipelined.ts',
      from: 'await Promise.allSettled([sent, connection`commit`])',
      to: "await Promise.allSettled([sent, Promise.resolve({ command: 'COMMIT' })]); Reflect.set(connection, 'early', true); setTimeout(() => connection`commit`.finally(() => connection.release()), 200)",
    },
    {
      file: 'db/pipelined.ts',
      from: '  } finally {\n    connection.release()',
      to: "  } finally {\n    if (!Reflect.get(connection, 'early')) connection.release()",
    },
  ],
  /** A shard's next entry without a number check: entries missing from a wiped stream are never delivered. */
  'contiguity-unchecked': [
    {
      file: 'changelog/follower/admission.ts',
      from: 'while (to < entries.length && entries[to]!.seq === position + 1 + to - from) to += 1',
      to: 'to = entries.length',
    },
    {
      file: 'changelog/follower/admission.ts',
      from: 'this.#positions[shard] = position + next.length\n',
      to: 'this.#positions[shard] = next.at(-1)!.seq\n',
    },
  ],
  /** The next number is read instead of locked. */
  'lock-off': [
    {
      file: 'db/log/append.ts',
      from: `      update feed_head h set seq = h.seq + c.n
      from (select shard, count(*) as n from input group by shard) c
      where h.shard = c.shard
      returning h.shard, h.epoch, h.seq - c.n as base, clock_timestamp()::timestamptz(3) as at`,
      to: `      select h.shard, h.epoch, (select coalesce(max(f.seq), 0) from feed f where f.shard = h.shard) as base, clock_timestamp()::timestamptz(3) as at
      from (select shard, count(*) as n from input group by shard) c join feed_head h using (shard)`,
    },
    {
      file: 'db/log/feed.ts',
      from: 'select shard, epoch, seq from feed_head order by shard`',
      to: 'select shard, epoch, (select coalesce(max(f.seq), 0) from feed f where f.shard = h.shard) as seq from feed_head h order by shard`',
    },
    {
      file: 'db/log/feed.ts',
      from: 'select epoch, seq from feed_head where shard = ${shard}`',
      to: 'select epoch, (select coalesce(max(f.seq), 0) from feed f where f.shard = h.shard) as seq from feed_head h where shard = ${shard}`',
    },
    {
      file: 'db/log/sync.ts',
      from: 'select h.epoch, h.seq as head,',
      to: 'select h.epoch, (select coalesce(max(f.seq), 0) from feed f where f.shard = h.shard) as head,',
    },
  ],
  /** A position moves in a transaction of its own, 50 ms after that of the effects: a kill between them repeats these. */
  'position-apart': [
    {
      file: 'worker/engine/shard-consumer.ts',
      from: 'await updatePosition(tx, move)',
      to: 'apart = move',
    },
    {
      file: 'worker/engine/shard-consumer.ts',
      from: 'const from = this.#stored!\n',
      to: 'const from = this.#stored!; let apart\n',
    },
    {
      file: 'worker/engine/shard-consumer.ts',
      from: 'this.stats.transactions += 1\n',
      to: 'await Bun.sleep(50); await this.deps.positions.move(apart); this.stats.transactions += 1\n',
    },
  ],
  /** What is overdue is decided by the clock of the worker. */
  'due-by-own-clock': [
    {
      file: 'db/tasks/overdue.ts',
      from: 'where t.due_at <= now() and t.due_at >= ',
      to: 'where t.due_at <= ${new Date(Date.now()).toISOString()} and t.due_at >= ',
    },
    {
      file: 'db/tasks/overdue.ts',
      from: 'where t.due_at <= now() and t.status',
      to: 'where t.due_at <= ${new Date(Date.now()).toISOString()} and t.status',
    },
  ],
  /** A server that stops closes its port at once: balancers have not noticed yet. */
  'drain-undelayed': [
    {
      file: 'app/compose.ts',
      from: 'const delayMs = config.drainDelaySeconds * 1_000',
      to: 'const delayMs = 0',
    },
  ],
  /** The consumer notifies everyone twice, and what a notification was made for is not compared. */
  'notified-twice': [
    {
      file: 'worker/consumers/notifications.ts',
      from: 'recipients.map(notificationOf)',
      to: '[...recipients, ...recipients].map(notificationOf)',
    },
    {
      file: 'domain/notifications/entries.ts',
      from: 'dedupeKey: `${kind}:${entry.shard}.${entry.seq}`,',
      to: 'dedupeKey: crypto.randomUUID(),',
    },
  ],
  /** An entry that fails is tried for ever: those after it wait. */
  'poison-retried': [
    {
      file: 'worker/engine/failures.ts',
      from: 'const maxAttempts = 5',
      to: 'const maxAttempts = Infinity',
    },
  ],
  /** An attempt sends its mail twice. */
  'mail-sent-twice': [
    {
      file: 'worker/jobs/send-mail.ts',
      from: 'await mailer.send(mail, signal)',
      to: 'await mailer.send(mail, signal); await mailer.send(mail, signal)',
    },
  ],
  /** A problem with 5xx shows where it was thrown. */
  'internals-shown': [
    {
      file: 'http/errors.ts',
      from: 'detail: error.status >= 500 ? codes[error.code][1] : error.message,',
      to: 'detail: error.status >= 500 ? String(error.stack) : error.message,',
    },
  ],
  /** One request in a hundred is never answered. */
  'answers-forgotten': [
    {
      file: 'http/pipeline.ts',
      from: 'const run = (context: RequestContext, to: Destination): Served => {\n',
      to: 'const run = (context: RequestContext, to: Destination): Served => {\n    if (Math.random() < 0.01) return new Promise(() => {})\n',
    },
  ],
  /** One request in a hundred leaves a rejection that nothing handles. */
  'rejection-unhandled': [
    {
      file: 'http/pipeline.ts',
      from: 'const run = (context: RequestContext, to: Destination): Served => {\n',
      to: "const run = (context: RequestContext, to: Destination): Served => {\n    if (Math.random() < 0.01) void Promise.reject(new Error('left alone'))\n",
    },
  ],
  /** Once a process has lost its connection to Redis, it pushes no entries: views read the log, the streams stay empty. */
  'publishers-stopped': [
    {
      file: 'changelog/publisher.ts',
      from: '  let isFailing = false\n',
      to: "  let isFailing = false; let isStopped = false; redis.on('close', () => (isStopped = true))\n",
    },
    {
      file: 'changelog/publisher.ts',
      from: '    if (queue.waiting.length > 0) queue.running',
      to: '    if (isStopped) drop(queue)\n    if (queue.waiting.length > 0) queue.running',
    },
    {
      file: 'changelog/sweeper.ts',
      from: '  const run = async (): Promise<void> => {\n',
      to: "  const run = async (): Promise<void> => {\n    redis.on('close', () => stop.abort())\n",
    },
  ],
  /** The consumer makes two rows of each entry. */
  'activity-twice': [
    {
      file: 'worker/consumers/activity.ts',
      from: 'entries.flatMap((entry) => activityOf(entry) ?? [])',
      to: 'entries.flatMap((entry) => activityOf(entry) ?? []).flatMap((row) => [row, { ...row, id: crypto.randomUUID() }])',
    },
  ],
  /** A connection that was lost is opened again after five seconds. */
  'reconnected-late': [
    {
      file: 'db/client.ts',
      from: 'backoff: (failures) => backOffMs(failures + 1, 20, 250) / 1000,',
      to: 'backoff: () => 5,',
    },
  ],
  /** A mail counts as sent when it is begun. */
  'mail-done-first': [
    {
      file: 'worker/jobs/send-mail.ts',
      from: 'await mailer.send(mail, signal)',
      to: 'void mailer.send(mail, AbortSignal.timeout(30_000)).catch(() => {})',
    },
  ],
  /** A resuming subscription starts at the head instead of its cursor. */
  'cursor-ignored': [
    {
      file: 'ws/subscriptions.ts',
      from: 'const { epoch, shard, from, head, events } = joined',
      to: 'const { epoch, shard, head, events } = joined; const from = head',
    },
  ],
  /** Every subscriber receives every entry. */
  'scope-unchecked': [
    {
      file: 'changelog/follower/hub.ts',
      from: 'if (entries.length === 1) return this.#publishToScope(entries[0]!.scope, entries)',
      to: '',
    },
    {
      file: 'changelog/follower/hub.ts',
      from: 'this.#publishToScope(scope, ofScope)',
      to: 'for (const other of this.#scopes.keys()) this.#publishToScope(other, ofScope)',
    },
    {
      file: 'ws/subscription.ts',
      from: ' || entry.scope !== this.start.scope',
      to: '',
    },
  ],
}

const root = join(import.meta.dir, '..', '..')

/** The absolute path of the file of an edit. */
export const pathOf = ({ file }: Pick<Edit, 'file'>): string =>
  join(root, file.startsWith('node_modules/') ? '' : 'src', file)

/** The environment of a process that runs as the variant. */
export const variantEnvironment = (name: string): Record<string, string> => ({
  BUN_OPTIONS: `--preload ${join(import.meta.dir, 'variant.ts')}`,
  TIDE_VARIANT: name,
})
