// The framing of RFC 6455, case by case over plain TCP, in the manner of the Autobahn test suite: what is allowed
// is understood, anything else ends the connection with its code (P-FRM-4, P-FRM-5).
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { openRaw, opcodes, type RawSocket } from '../support/raw-socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

interface Bits {
  /** Default: the last of its message. */
  fin?: boolean
  /** RSV1 to RSV3 as the three bits they are. */
  reserved?: number
  isMasked?: boolean
}

const mask = Buffer.from([0x37, 0xfa, 0x21, 0x3d])

/** One frame, to the bit. */
const frame = (
  opcode: number,
  payload: string | Buffer = '',
  { fin = true, reserved = 0, isMasked = true }: Bits = {},
): Buffer => {
  const bytes = Buffer.from(payload)
  const head = Buffer.alloc(bytes.length < 126 ? 2 : 4)
  head[0] = (fin ? 0x80 : 0) | (reserved << 4) | opcode
  head[1] = (isMasked ? 0x80 : 0) | (bytes.length < 126 ? bytes.length : 126)
  if (bytes.length >= 126) head.writeUInt16BE(bytes.length, 2)
  if (!isMasked) return Buffer.concat([head, bytes])
  return Buffer.concat([head, mask, bytes.map((byte, index) => byte ^ mask[index % 4]!)])
}

const { continuation, text, ping, pong, close } = opcodes
const part = { fin: false }
const closing = (code: number, reason: string | Buffer = ''): Buffer => {
  const payload = Buffer.alloc(2)
  payload.writeUInt16BE(code)
  return Buffer.concat([payload, Buffer.from(reason)])
}

const open = async (): Promise<RawSocket> => {
  const raw = await openRaw(world.server.port, { token: anna.token })
  await eventually(() => expect(raw.texts()).toHaveLength(1))
  return raw
}

const asked = '{"t":"ping","ts":7}'
const answered = { t: 'pong', ts: 7 }
const euro = Buffer.from('{"t":"ping","ts":7,"x":"€𝄞"}')

test.each([
  ['a masked message', [frame(text, asked)]],
  ['two fragments', [frame(text, asked.slice(0, 5), part), frame(continuation, asked.slice(5))]],
  [
    'a fragment for each byte',
    Array.from(asked, (byte, index) =>
      frame(index === 0 ? text : continuation, byte, { fin: index === asked.length - 1 }),
    ),
  ],
  [
    'empty fragments',
    [
      frame(text, '', part),
      frame(continuation, '', part),
      frame(continuation, asked, part),
      frame(continuation),
    ],
  ],
  [
    'a ping between fragments',
    [frame(text, asked.slice(0, 5), part), frame(ping, 'now'), frame(continuation, asked.slice(5))],
  ],
  [
    'an unasked pong between fragments',
    [frame(text, asked.slice(0, 5), part), frame(pong, 'x'), frame(continuation, asked.slice(5))],
  ],
  [
    'a character cut in two by fragments',
    [frame(text, euro.subarray(0, 25), part), frame(continuation, euro.subarray(25))],
  ],
  ['a length in two bytes', [frame(text, `{"t":"ping","ts":7,"pad":"${'x'.repeat(200)}"}`)]],
])('%s is understood, in one piece and byte by byte (P-FRM-5)', async (_what, frames) => {
  const bytes = Buffer.concat(frames)
  using whole = await open()
  whole.sendBytes(bytes)
  await eventually(() => expect(whole.texts()[1]).toMatchObject(answered))
  using slowly = await open()
  for (const byte of bytes) {
    slowly.sendBytes(Buffer.from([byte]))
    if (byte % 8 === 0) await new Promise(setImmediate) // so that they do not all travel together
  }
  await eventually(() => expect(slowly.texts()[1]).toMatchObject(answered))
})

test('a ping is answered with its payload, at once, also between fragments (P-FRM-5)', async () => {
  using raw = await open()
  const pongs = () => raw.frames.filter(({ opcode }) => opcode === pong)
  for (const [index, payload] of ['', 'a', 'x'.repeat(125)].entries()) {
    raw.sendBytes(Buffer.concat([frame(text, '{', part), frame(ping, payload)]))
    await eventually(() => expect(pongs()).toHaveLength(index + 1))
    expect(pongs()[index]!.payload.toString()).toBe(payload)
    expect(raw.texts()).toHaveLength(1 + index)
    raw.sendBytes(frame(continuation, '"t":"drop"}'))
    await eventually(() => expect(raw.texts()).toHaveLength(2 + index))
  }
})

test.each([
  ['an unmasked message', frame(text, asked, { isMasked: false })],
  ['a reserved bit', frame(text, asked, { reserved: 2 })],
  ['the compression bit without negotiated compression', frame(text, asked, { reserved: 4 })],
  ['a reserved opcode', frame(3, asked)],
  ['a reserved opcode of control', frame(11, 'x')],
  ['a continuation of nothing', frame(continuation, asked)],
  ['a message within a message', Buffer.concat([frame(text, '{', part), frame(text, asked)])],
  ['a ping in fragments', frame(ping, 'x', part)],
  ['a ping over 125 bytes', frame(ping, 'x'.repeat(126))],
  ['a close of one byte', frame(close, 'x')],
  ['a close over 125 bytes', frame(close, closing(1000, 'x'.repeat(124)))],
])('%s ends the connection (P-FRM-5)', async (_what, bytes) => {
  using raw = await open()
  raw.sendBytes(bytes)
  await eventually(() => expect(raw.isOver()).toBe(true))
  expect(raw.texts()).toHaveLength(1)
  const code = raw.closeCode()
  expect([null, 1002]).toContain(code)
})

test.each([
  ['an impossible byte', [frame(text, Buffer.from([0x22, 0xff, 0x22]))]],
  ['a lone surrogate', [frame(text, Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]))]],
  ['an overlong slash', [frame(text, Buffer.from([0x22, 0xc0, 0xaf, 0x22]))]],
  ['a code point beyond Unicode', [frame(text, Buffer.from([0x22, 0xf4, 0x90, 0x80, 0x80, 0x22]))]],
  ['half a character at the end', [frame(text, Buffer.from([0x22, 0xe2, 0x82]))]],
  [
    'an impossible byte in the second fragment',
    [frame(text, '"', part), frame(continuation, Buffer.from([0xff, 0x22]))],
  ],
])('text with %s closes with 1007 (P-FRM-4)', async (_what, frames) => {
  using raw = await open()
  raw.sendBytes(Buffer.concat(frames))
  await eventually(() => expect(raw.closeCode()).toBe(1007))
  await eventually(() => expect(raw.isOver()).toBe(true))
})

test('fragments that together are over 64 KiB close with 1009 (P-FRM-4)', async () => {
  using raw = await open()
  const piece = 'x'.repeat(20_000)
  raw.sendBytes(frame(text, piece, part))
  for (let n = 0; n < 3; n += 1) raw.sendBytes(frame(continuation, piece, part))
  await eventually(() => expect([1009, null]).toContain(raw.closeCode()))
  await eventually(() => expect(raw.isOver()).toBe(true))
})

test.each([
  ['without a code', Buffer.alloc(0)],
  ['with a code', closing(1000)],
  ['with a code and a reason', closing(1000, 'until soon')],
  ['with a code of its own', closing(3999)],
])('a close %s is answered with a close, and the connection ends (P-FRM-5)', async (_what, payload) => {
  using raw = await open()
  raw.sendBytes(frame(close, payload))
  await eventually(() => expect(raw.isOver()).toBe(true))
  expect(raw.frames.at(-1)?.opcode).toBe(close)
  expect(raw.closeCode() ?? 1000).toBe(
    payload.length === 0 ? (raw.closeCode() ?? 1000) : payload.readUInt16BE(),
  )
})

test('what follows a close is not handled (P-FRM-5)', async () => {
  using raw = await open()
  raw.sendBytes(Buffer.concat([frame(close, closing(1000)), frame(text, asked)]))
  await eventually(() => expect(raw.isOver()).toBe(true))
  expect(raw.texts()).toHaveLength(1)
})

test('frames are answered in the order they came in, however long one takes (P-FRM-6)', async () => {
  using raw = await open()
  const order = ['a', 'b', 'c', 'd']
  // A sub reads the database, an unsub and a ping nothing.
  raw.sendBytes(
    Buffer.concat(
      order.flatMap((rid) => [
        frame(text, JSON.stringify({ t: 'sub', rid, scope: 'user:me' })),
        frame(text, JSON.stringify({ t: 'unsub', rid, scope: 'user:me' })),
        frame(text, asked),
      ]),
    ),
  )
  const answers = () => raw.texts().filter(({ t }) => ['sub', 'ok', 'pong'].includes(t))
  await eventually(() => expect(answers()).toHaveLength(12))
  expect(answers().map(({ t, rid }) => [t, rid])).toEqual(
    order.flatMap((rid) => [
      ['sub', rid],
      ['ok', rid],
      ['pong', undefined],
    ]),
  )
})
