// What every byte of a file decides: any pieces give the same hash and the same answer as a look at one byte after another.
import { expect, test } from 'bun:test'
import { hasNoBinary, scanContent } from '../../src/domain/attachments/content-scan.ts'
import { createRandom } from '../oracle/random.ts'

const allowed = new Set([0x09, 0x0a, 0x0c, 0x0d, 0x1b])
const isControl = (byte: number): boolean => (byte < 0x20 && !allowed.has(byte)) || byte === 0x7f

test('each byte is text or binary wherever it is, beside any other', () => {
  const wrong: unknown[] = []
  for (let byte = 0; byte < 256; byte += 1)
    for (const beside of [0x61, 0x80, 0xff, 0x20, 0x0a])
      for (let offset = 0; offset < 4; offset += 1)
        for (let at = 0; at < 11; at += 1) {
          const bytes = new Uint8Array(16)
            .fill(0)
            .subarray(offset, offset + 11)
            .fill(beside)
          bytes[at] = byte
          if (hasNoBinary(bytes) === isControl(byte)) wrong.push({ byte, beside, offset, at })
        }
  expect(wrong).toEqual([])
})

test('bytes outside of the piece are not looked at', () => {
  const buffer = new Uint8Array(64) // all binary
  for (let start = 0; start < 8; start += 1)
    for (let length = 0; length < 9; length += 1)
      expect(
        hasNoBinary(
          buffer
            .slice()
            .subarray(start, start + length)
            .fill(0x61),
        ),
      ).toBe(true)
})

test('any pieces give the same hash and answer as the whole', async () => {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e9))
  console.log(`seed ${seed}`)
  const random = createRandom(seed)
  for (let round = 0; round < 50; round += 1) {
    const whole = Uint8Array.from({ length: random.between(0, 3_000) }, () => random.between(0x20, 0x7e))
    for (let n = random.between(0, 2); n > 0 && whole.length > 0; n -= 1)
      whole[random.between(0, whole.length - 1)] = random.between(0, 255)
    // As a file is read: each piece is overwritten when the next one is asked for.
    const pieces = async function* () {
      const buffer = new Uint8Array(1_000)
      for (let at = 0; at < whole.length;) {
        const length = Math.min(random.between(1, 1_000), whole.length - at)
        buffer.set(whole.subarray(at, at + length))
        yield buffer.subarray(0, length)
        at += length
      }
    }
    expect(await scanContent(pieces())).toEqual({
      sha256: new Bun.CryptoHasher('sha256').update(whole).digest('hex'),
      isText: !whole.some(isControl),
    })
  }
})

test('reading ends with the signal', () => {
  const abort = new AbortController()
  const pieces = async function* () {
    for (;;) {
      yield new Uint8Array(1)
      abort.abort(new Error('too late'))
    }
  }
  expect(scanContent(pieces(), abort.signal)).rejects.toThrow('too late')
})
