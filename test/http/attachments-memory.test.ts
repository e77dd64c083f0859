// Fifty uploads at once: what a server holds of them. A body that waits is held by Bun, 1 MiB and more of each, and reaches
// the handler as one piece of that size; pieces that the handler keeps still have their bytes later. Both are counted, so
// that the answer is the same on any machine.
import { afterAll, describe, expect, test } from 'bun:test'
import type { TemporaryFile } from '../../src/storage/temporary-file.ts'
import { startS3Server } from '../support/s3-server.ts'
import { sendForm } from '../support/uploads.ts'
import { startWorld } from '../support/world.ts'

const mebibyte = 1024 * 1024
const count = 50
/** More than Bun holds of one. */
const size = 3 * mebibyte
const allowed = 32 * mebibyte
/** Their files stay below the quota of 1 GiB. */
const rounds = 5

const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 40_000)

const s3Settings = async () => stack.use(await startS3Server()).config()

/** Counts the pieces that are written to files of this machine. */
const watchPieces = (storage: { temporaryFile(): TemporaryFile }) => {
  const create = storage.temporaryFile.bind(storage)
  const largest: number[] = []
  const pieces: Uint8Array[] = []
  storage.temporaryFile = () => {
    const file = create()
    const index = largest.push(0) - 1
    const write = file.write.bind(file)
    file.write = (bytes) => {
      largest[index] = Math.max(largest[index]!, bytes.byteLength)
      pieces.push(bytes)
      write(bytes)
    }
    return file
  }
  const sum = (sizes: number[]): number => sizes.reduce((total, bytes) => total + bytes, 0)
  return {
    /** How many bytes came at once, of all uploads together. */
    heldBefore: () => sum(largest),
    /** Bytes of pieces that are still in memory, their buffers whole. */
    heldAfter: () => sum(pieces.map(({ buffer }) => buffer.byteLength)),
    files: () => largest.length,
    [Symbol.dispose]: () => (storage.temporaryFile = create),
  }
}

describe.each([
  ['disk', async () => ({})],
  ['s3', s3Settings],
] as const)('of %s', (_kind, settings) => {
  test('at most 32 MiB wait, none is kept, and all files are stored', async () => {
    const world = stack.use(await startWorld(await settings()))
    const owner = await world.register()
    const { id: taskId } = await world.ask(owner, 'POST', '/api/tasks', { title: 'Files' })
    // One body for all: the client is in this process, too.
    const content = new Uint8Array(size).fill(0x61)
    const part = '--b\r\nContent-Disposition: form-data; name="file"; filename="notes.txt"\r\n\r\n'
    const body = new Blob([part, content, '\r\n--b--\r\n'])
    const headers = { 'Content-Type': 'multipart/form-data; boundary=b' }
    // A machine that does not run this process for a while lets bodies wait, whatever reads them: the least counts.
    let held = Infinity
    for (let round = 0; round < rounds && held > allowed; round += 1) {
      using watched = watchPieces(world.server.deps.storage)
      const answers = await Promise.all(
        Array.from({ length: count }, () =>
          sendForm({ url: world.url, token: owner.token, taskId, headers }, body),
        ),
      )
      expect(answers.filter(({ status }) => status !== 201)).toEqual([])
      expect(new Set(answers.map(({ body: stored }) => stored.sha256)).size).toBe(1)
      expect(watched.files()).toBe(count)
      expect(watched.heldAfter()).toBe(0)
      held = Math.min(held, watched.heldBefore())
    }
    expect(held).toBeLessThanOrEqual(allowed)
  }, 120_000)
})
