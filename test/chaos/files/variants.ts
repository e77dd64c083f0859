// The handling of files without one mechanism each: edits of source text that the controls run with, after those of the
// named points.
import { point, type Edit } from '../edit.ts'

/** A failed upload removes its row past the trigger that lists the object for deletion. */
const failedPutUnlisted: Edit[] = [
  {
    file: 'domain/attachments/upload.ts',
    from: "    const isDeleted = await deleteAttachment(tx, id, ['uploading'])",
    to: "    await tx`set local session_replication_role = replica`; const isDeleted = await deleteAttachment(tx, id, ['uploading'])",
  },
]

export const filesVariants: Record<string, Edit[]> = {
  /** An object is stored before its row: a kill between them leaves an object that no row names. */
  'upload-object-first': [
    {
      file: 'domain/attachments/upload.ts',
      from: '    const storageKey = attachmentKey()\n',
      to: `    const storageKey = attachmentKey(); await deps.storage.put(storageKey, file); ${point('upload-object')}\n`,
    },
  ],
  /** The deletion of an object commits before that of its row. */
  'deletion-listed-apart': [
    {
      file: 'domain/attachments/attachments.ts',
      from: "    if (!(await deleteAttachment(tx, id, ['ready']))) throw notFound()",
      to: `    const { insertFileDeletions } = await import('../../db/files/file-deletions.ts')
    await deps.db.of(actor.userId).transact((own) => insertFileDeletions(own, [found.storageKey]))
    if (!(await deleteAttachment(tx, id, ['ready']))) throw notFound()`,
    },
  ],
  /** The note of a deletion goes a minute before the object does: a kill between them leaves the object. */
  'row-dropped-first': [
    {
      file: 'worker/jobs/files-delete.ts',
      from: 'await storage.delete(key)',
      to: 'void Bun.sleep(60_000).then(() => storage.delete(key)).catch(() => {})',
    },
  ],
  /** A deletion that the store does not carry out counts as done. */
  'deletion-not-retried': [
    {
      file: 'worker/jobs/files-delete.ts',
      from: 'await storage.delete(key)',
      to: 'await storage.delete(key).catch(() => {})',
    },
  ],
  /** What was stored although its answer was lost stays. */
  'failed-put-unlisted': failedPutUnlisted,
  /** A call waits for its answer for ever. */
  'deadline-missing': [
    {
      file: 'storage/s3-calls.ts',
      from: 'return await withTimeout(leftMs, what, work(abort.signal))',
      to: 'return await work(abort.signal)',
    },
  ],
  /** A job that Redis lost is not made again. */
  'jobs-not-restored': [
    {
      file: 'worker/jobs/dispatcher.ts',
      from: 'if (overdue.length > 0) await restoreJobs(queues, overdue)',
      to: '',
    },
  ],
  /** The claim of a worker that died never ends. */
  'claims-kept': [
    {
      file: 'db/deliveries/claims.ts',
      from: "state in ('queued', 'running') and next_at <= now()",
      to: "state = 'queued' and next_at <= now()",
    },
    {
      file: 'db/deliveries/claims.ts',
      from: "(state = 'running' and lease_until <= now())",
      to: 'false',
    },
  ],
  /** An attempt completes its delivery without a look at its fence. */
  'fence-unchecked': [
    {
      file: 'db/deliveries/claims.ts',
      from: "last_error = null\n    where id = ${claim.id} and fence = ${claim.fence} and state = 'running'",
      to: 'last_error = null\n    where id = ${claim.id}',
    },
    {
      file: 'worker/jobs/held-leases.ts',
      from: 'else one.abort.abort(new FenceLost(one.claim))',
      to: 'else one.renewedAt = askedAt',
    },
  ],
  /** The copy of a direct upload is made before a row names it. */
  'copy-unnamed': [
    {
      file: 'domain/attachments/verify.ts',
      from: 'if (!(await db.transact((tx) => beginCopy(tx, id, copyKey)))) return async () => []',
      to: '',
    },
    {
      file: 'domain/attachments/verify.ts',
      from: "  const attachment = await completeUpload(tx, id, 'verifying'",
      to: "  await beginCopy(tx, id, copyKey); const attachment = await completeUpload(tx, id, 'verifying'",
    },
  ],
  /** The object of the signed URL is verified and shown itself. */
  'verified-in-place': [
    {
      file: 'domain/attachments/verify.ts',
      from: 'const copyKey = attachmentKey()',
      to: 'const copyKey = stored.storageKey',
    },
    {
      file: 'domain/attachments/verify.ts',
      from: 'if (!(await storage.copy(uploadKey, copyKey, size)))',
      to: 'if (uploadKey !== copyKey && !(await storage.copy(uploadKey, copyKey, size)))',
    },
  ],
  /** A store that does not answer is taken for one without the object. */
  'absence-presumed': [
    {
      file: 'domain/attachments/verify.ts',
      from: 'await storage.head(uploadKey)',
      to: 'await storage.head(uploadKey).catch(() => null)',
    },
  ],
  /** The object of a signed URL is deleted once, and may be stored again. */
  'second-deletion-missing': [
    {
      file: 'db/files/deletion-queue.ts',
      from: 'and queued_at is not null and again_at is not null`',
      to: 'and queued_at is not null and again_at is not null and false`',
    },
  ],
  /** With a migration of its control: a row that is deleted lists the object it names, and not that of its signed URL. */
  'upload-key-unlisted': [],
  /** A sweep deletes objects of any age. */
  'sweep-ageless': [
    {
      file: 'domain/files/sweep.ts',
      from: 'const old = orphans.filter((key) => batch.get(key)! < before)',
      to: 'const old = orphans',
    },
  ],
  /** A sweep is done a minute before it is begun. */
  'sweep-completed-first': [
    {
      file: 'worker/jobs/files-sweep.ts',
      from: 'const report = await sweepFiles({ db, storage, log }, { isDryRun, signal })',
      to: 'const report = {}; void Bun.sleep(60_000).then(() => sweepFiles({ db, storage, log }, { isDryRun, signal })).catch(() => {})',
    },
  ],
  /** A problem with 5xx shows where it was thrown. */
  'upload-internals-shown': [
    {
      file: 'http/errors.ts',
      from: 'detail: error.status >= 500 ? codes[error.code][1] : error.message,',
      to: 'detail: error.status >= 500 ? String(error.stack) : error.message,',
    },
  ],
  /** One request in twenty is never answered. */
  'upload-answers-forgotten': [
    {
      file: 'http/pipeline.ts',
      from: 'const run = (context: RequestContext, to: Destination): Served => {\n',
      to: 'const run = (context: RequestContext, to: Destination): Served => {\n    if (Math.random() < 0.05) return new Promise(() => {})\n',
    },
  ],
  /** A sweep that finds the object of a flagged row leaves the flag. */
  'flag-kept': [
    {
      file: 'domain/files/sweep.ts',
      from: 'await flagMissing(tx, found, false)',
      to: '',
    },
  ],
}
