// A large file that goes to the store directly: how long its verification takes, and what it adds to the memory of the
// worker, which reads all of it.
import { SQL } from 'bun'
import { tmpdir } from 'node:os'
import { createLog } from '../../src/log.ts'
import { s3Storage } from '../../src/storage/s3.ts'
import type { TemporaryFile } from '../../src/storage/temporary-file.ts'
import type { Cluster } from '../../test/support/cluster.ts'
import { eventually } from '../../test/support/eventually.ts'
import type { S3Server } from '../../test/support/s3-server.ts'
import type { Context } from '../context.ts'
import { call, makeTasks, registerPeople } from '../people.ts'
import { peakBytes, resetPeak, settledBytes } from '../processes.ts'
import type { Row } from '../row.ts'
import { rounded } from '../statistics.ts'

export const directUploadRow = {
  id: 'direct-upload',
  title:
    'a file of 1 GiB sent to the S3 store directly: what its verification adds to the memory of the worker',
  targets: [{ figure: 'grownMb', atMost: 64 }],
} as const satisfies Row

const mebibyte = 1024 * 1024
const verifyTimeoutMs = 180_000

export const directUpload = async (
  context: Context,
  { servers, workers, databaseUrl }: Cluster,
  s3: S3Server,
): Promise<void> => {
  const { plan, report } = context
  const { url } = servers[0]!
  const { pid } = workers[0]!
  const [person] = (await registerPeople(url, 1, { prefix: 'direct' })).users
  const { token, projectId } = person!
  const [taskId] = await makeTasks(url, person!, projectId, 1)
  await using storage = s3Storage(s3.settings(), tmpdir(), createLog('bench', 'silent'))
  await using file = storage.temporaryFile()
  report(`direct-upload: writing ${plan.largeFileMib} MiB`)
  const declared = {
    filename: 'large.txt',
    contentType: 'text/plain',
    sha256: writeText(file, plan.largeFileMib),
    size: file.size,
  }
  const begun = await call(url, 'POST', `/api/tasks/${taskId}/attachments/uploads`, token, declared)
  // In parts, and not by the signed request: the store of the tests takes no more than 11 MiB in one.
  await using sql = new SQL(databaseUrl)
  const [row] = await sql`select storage_key from attachments where id = ${begun.id}`
  await storage.put(row.storage_key, file)

  report('direct-upload: verifying')
  const before = await settledBytes(pid)
  resetPeak(pid)
  const startedAt = performance.now()
  await call(url, 'POST', `/api/attachments/${begun.id}/complete`, token)
  await eventually(
    async () => {
      const { items } = await call(url, 'GET', `/api/tasks/${taskId}/attachments`, token)
      if (items.length === 0) throw new Error('the file is not verified yet')
    },
    { timeoutMs: verifyTimeoutMs, everyMs: 100 },
  )
  const seconds = (performance.now() - startedAt) / 1000
  context.add({
    row: directUploadRow.id,
    figures: {
      grownMb: rounded((peakBytes(pid) - before) / 1e6),
      verifiedSeconds: rounded(seconds),
      readMbPerSecond: rounded(file.size / 1e6 / seconds),
    },
    failed: 0,
    notes: [`${plan.largeFileMib} MiB; peak of resident memory above that at rest`],
  })
}

/** @returns the SHA-256 of what was written. */
const writeText = (file: TemporaryFile, mebibytes: number): string => {
  const hash = new Bun.CryptoHasher('sha256')
  const piece = new Uint8Array(mebibyte).fill(0x61)
  for (let left = mebibytes; left > 0; left -= 1) {
    hash.update(piece)
    file.write(piece)
  }
  return hash.digest('hex')
}
