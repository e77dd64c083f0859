// The named points of uploads, direct uploads, deletions and sweeps, at which a process can kill itself.
import { point, type Edit } from '../edit.ts'

/** Of an upload through the server, before and after those of its last write. */
export const uploadPoints = ['upload-row', 'upload-object', 'upload-completed', 'upload-committed'] as const

/** Of what a server does beside that: direct uploads, deletions, and every write. */
export const serverPoints = [
  ...uploadPoints,
  'direct-reserved',
  'direct-completed',
  'attachment-removed',
  'tasks-removed',
  'project-removed',
  'removal-committed',
  'uncommitted',
  'committed',
] as const

/** Of the verification of a direct upload, before and after those of its job. */
export const verifyPoints = ['copy-named', 'copy-made', 'copy-verified', 'upload-verified'] as const

/** Of the consumer, the loops, the dispatcher, an attempt, the deletion of an object, and a verification. */
export const workerPoints = [
  'before-effect',
  'before-commit',
  'after-commit',
  'upload-expired',
  'deletions-queued',
  'job-queued',
  'job-claimed',
  'object-deleted',
  'deletions-dropped',
  'job-acted',
  'job-committed',
  ...verifyPoints,
] as const

/** Of a sweep, both ways: objects are listed, rows are flagged. */
export const sweepPoints = [
  'sweep-counted',
  'sweep-listed',
  'sweep-compared',
  'sweep-flagged',
  'sweep-flags-committed',
  'sweep-reported',
] as const

export const filePoints: Edit[] = [
  {
    file: 'domain/attachments/upload.ts',
    from: '      await deps.storage.put(storageKey, file)\n',
    to: `      ${point('upload-row')}; await deps.storage.put(storageKey, file); ${point('upload-object')}\n`,
  },
  {
    file: 'domain/attachments/upload.ts',
    from: '  const { projectId } = row.task\n  return {\n    value: attachment,',
    to: `  ${point('upload-completed')}; const { projectId } = row.task\n  return {\n    value: attachment,`,
  },
  {
    file: 'domain/attachments/upload.ts',
    from: '      // An equal request was faster',
    to: `      ${point('upload-committed')} // An equal request was faster`,
  },
  {
    file: 'domain/attachments/direct-upload.ts',
    from: '    const expiresAt = new Date(',
    to: `    ${point('direct-reserved')}; const expiresAt = new Date(`,
  },
  {
    file: 'domain/attachments/direct-upload.ts',
    from: '    return { value: stored.attachment, ',
    to: `    ${point('direct-completed')}; return { value: stored.attachment, `,
  },
  {
    file: 'domain/attachments/attachments.ts',
    from: '    const { projectId } = row.task\n    return {\n      value: null,',
    to: `    ${point('attachment-removed')}; const { projectId } = row.task\n    return {\n      value: null,`,
  },
  {
    file: 'domain/attachments/attachments.ts',
    from: '      subject: taskSubject(row.task),\n    }\n  })\n',
    to: `      subject: taskSubject(row.task),\n    }\n  }).then((result) => { ${point('removal-committed')}; return result })\n`,
  },
  {
    file: 'domain/tasks/load-state.ts',
    from: 'deleted.length > 0 ? deleteTasks(tx, deleted) :',
    to: `deleted.length > 0 ? deleteTasks(tx, deleted).then(() => ${point('tasks-removed')}) :`,
  },
  {
    file: 'domain/projects/projects.ts',
    from: '  await deleteProjectRows(tx, project.id)\n',
    to: `  await deleteProjectRows(tx, project.id); ${point('project-removed')}\n`,
  },
  {
    file: 'db/files/attachments.ts',
    from: '  return rows.length\n',
    to: `  if (rows.length > 0) ${point('upload-expired')}\n  return rows.length\n`,
  },
  {
    file: 'db/files/deletion-queue.ts',
    from: '  return keys.length\n',
    to: `  if (keys.length > 0) ${point('deletions-queued')}\n  return keys.length\n`,
  },
  {
    file: 'worker/jobs/files-delete.ts',
    from: 'await storage.delete(key)',
    to: `await storage.delete(key); ${point('object-deleted')}`,
  },
  {
    file: 'worker/jobs/files-delete.ts',
    from: 'await deleteFileDeletions(tx, keys)',
    to: `await deleteFileDeletions(tx, keys); ${point('deletions-dropped')}`,
  },
  {
    file: 'domain/attachments/verify.ts',
    from: '  const verdict = await verdictOn(',
    to: `  ${point('copy-named')}; const verdict = await verdictOn(`,
  },
  {
    file: 'domain/attachments/verify.ts',
    from: '  const object = await storage.get(copyKey)',
    to: `  ${point('copy-made')}; const object = await storage.get(copyKey)`,
  },
  {
    file: 'domain/attachments/verify.ts',
    from: "  if (sha256 !== attachment.sha256) return bad('hash_mismatch')",
    to: `  ${point('copy-verified')}; if (sha256 !== attachment.sha256) return bad('hash_mismatch')`,
  },
  {
    file: 'domain/attachments/verify.ts',
    from: '  if (!attachment) throw unavailable() //',
    to: `  ${point('upload-verified')}; if (!attachment) throw unavailable() //`,
  },
  {
    file: 'domain/files/sweep.ts',
    from: '  report.isRefused = !isForced',
    to: `  ${point('sweep-counted')}; report.isRefused = !isForced`,
  },
  {
    file: 'domain/files/sweep.ts',
    from: 'report.listed += await db.transact((tx) => listOrphans(tx, keys))',
    to: `report.listed += await db.transact((tx) => listOrphans(tx, keys)); ${point('sweep-listed')}`,
  },
  {
    file: 'domain/files/sweep.ts',
    from: '    report.rows += rows.length\n',
    to: `    if (rows.length > 0) ${point('sweep-compared')}\n    report.rows += rows.length\n`,
  },
  {
    file: 'domain/files/sweep.ts',
    from: '        await flagMissing(tx, found, false)\n      })\n',
    to: `        await flagMissing(tx, found, false); ${point('sweep-flagged')}\n      }).then(() => ${point('sweep-flags-committed')})\n`,
  },
  {
    file: 'worker/jobs/files-sweep.ts',
    from: 'await insertSweepReport(tx, report)',
    to: `await insertSweepReport(tx, report); ${point('sweep-reported')}`,
  },
]

/** Objects that the chaos run stores count as two days old by their name: no store lets a client date them back. */
export const agedObjects: Edit = {
  file: 'storage/s3.ts',
  from: 'modifiedAt: LastModified }',
  to: "modifiedAt: Key.includes('/aged-') ? new Date(LastModified.getTime() - 2 * 86_400_000) : LastModified }",
}
