// The process of `s3-tls.test.ts`: stores files in the S3 store at the given address, all at once, and prints how many
// bytes that added to the highest size of its memory.
import { readFileSync } from 'node:fs'
import { createLog } from '../../src/log.ts'
import { s3Storage } from '../../src/storage/s3.ts'

const [endpoint, folder, count, megabytes] = process.argv.slice(2)

const credentials = { accessKeyId: 'test', secretAccessKey: 'test-secret' }
const settings = { endpoint: endpoint!, publicEndpoint: null, region: 'us-east-1', bucket: 'files' }
await using storage = s3Storage(
  { ...settings, ...credentials, pathStyle: true },
  folder!,
  createLog('test', 'silent'),
)
const piece = new Uint8Array(1_000_000).fill(0x61)

const store = async (name: string): Promise<void> => {
  await using file = storage.temporaryFile()
  for (let n = 0; n < Number(megabytes); n += 1) file.write(piece)
  await storage.put(`attachments/2026-11/${name}`, file)
}

const highest = (): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))![1]) * 1024

await store('first') // the SDK is compiled
const before = highest()
await Promise.all(Array.from({ length: Number(count) }, (_, n) => store(`object-${n}`)))
console.log(highest() - before)
