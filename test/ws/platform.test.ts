// Undocumented behaviour of Bun and Elysia that src/ws relies on. Run on every upgrade of either: a failure here
// means that the assumption in src/ws has to be reviewed, not that the test has to be changed.
import { afterEach, expect, test } from 'bun:test'
import type { Server, ServerWebSocket, WebSocketHandler } from 'bun'
import { Elysia } from 'elysia'
import { eventually } from '../support/eventually.ts'
import { openRaw, type RawSocket } from '../support/raw-socket.ts'

type Socket = ServerWebSocket<null>

interface Platform extends AsyncDisposable {
  port: number
  server: Server<null>
  socket: Socket
  raw: RawSocket
  drains: number[]
  closes: { code: number; reason: string }[]
}

const limitBytes = 1024 * 1024
const message = 'x'.repeat(8_000)
const stack: AsyncDisposable[] = []
afterEach(async () => {
  for (const platform of stack.splice(0)) await platform[Symbol.asyncDispose]()
})

/** The way src/app/compose.ts mounts its sockets, with one raw client on it. */
const open = async (over: Partial<WebSocketHandler<null>> = {}): Promise<Platform> => {
  const drains: number[] = []
  const closes: Platform['closes'] = []
  let socket: Socket | null = null
  let wasOpenedWithin = false
  const app = new Elysia({ normalize: false, handler: { standardHostname: false } })
  app.get('/api/ws', async ({ request, server }) => {
    await Promise.resolve()
    const upgraded = (server as unknown as Server<null>).upgrade(request, { data: null })
    wasOpenedWithin = upgraded && socket !== null
    return undefined
  })
  const websocket: WebSocketHandler<null> = {
    maxPayloadLength: 65_536,
    backpressureLimit: limitBytes,
    idleTimeout: 0,
    sendPings: false,
    perMessageDeflate: false,
    open: (opened) => void (socket = opened),
    message: () => {},
    drain: (drained) => void drains.push(drained.getBufferedAmount()),
    close: (_socket, code, reason) => void closes.push({ code, reason }),
    ...over,
  }
  app.listen({ port: 0, hostname: '127.0.0.1', reusePort: false, websocket })
  const server = app.server as unknown as Server<null>
  const raw = await openRaw(server.port!)
  // `open` runs within `upgrade`: no entry of the log can come between authenticating a user and registering the connection.
  expect(wasOpenedWithin).toBe(true)
  const platform: Platform = {
    port: server.port!,
    server,
    socket: socket!,
    raw,
    drains,
    closes,
    async [Symbol.asyncDispose]() {
      raw[Symbol.dispose]()
      await server.stop(true)
    },
  }
  stack.push(platform)
  return platform
}

/** Sends until `isEnough` of the result; the kernel takes some megabytes first. */
const fill = async (
  { socket, raw }: Platform,
  isEnough: (result: number, buffered: number) => boolean,
): Promise<number> => {
  raw.pause()
  for (let sent = 1; sent < 20_000; sent += 1) {
    if (isEnough(socket.send(message), socket.getBufferedAmount())) return sent
    if (sent % 50 === 0) await new Promise(setImmediate)
  }
  throw new Error('the socket never had enough')
}

const received = ({ raw }: Platform): number => raw.frames.filter(({ opcode }) => opcode === 1).length

test('Elysia passes the handlers and limits to Bun', async () => {
  const platform = await open()
  platform.raw.sendFrame(1, Buffer.alloc(65_537, 0x61))
  await eventually(() => expect(platform.raw.closeCode()).toBe(1009))
  await eventually(() => expect(platform.closes).toEqual([{ code: 1006, reason: expect.any(String) }]))
})

test('send returns -1 once bytes wait, which getBufferedAmount counts, and drain is called once they are sent', async () => {
  const platform = await open()
  const { socket, raw } = platform
  expect(socket.send('first')).toBeGreaterThan(0)
  const sent = await fill(platform, (result, buffered) => result === -1 && buffered > 300_000)
  expect(platform.drains).toEqual([])
  raw.resume()
  await eventually(() => expect(platform.drains.at(-1)).toBe(0))
  expect(socket.getBufferedAmount()).toBe(0)
  await eventually(() => expect(received(platform)).toBe(sent + 1))
})

test('send returns 0 beyond the limit, drops that frame, and accepts later ones', async () => {
  const platform = await open()
  const sent = await fill(platform, (result) => result === 0)
  expect(platform.socket.getBufferedAmount()).toBeGreaterThanOrEqual(limitBytes)
  expect(platform.socket.getBufferedAmount()).toBeLessThan(limitBytes + 2 * message.length)
  platform.raw.resume()
  await eventually(() => expect(platform.drains.at(-1)).toBe(0))
  expect(platform.socket.send('after the hole')).toBeGreaterThan(0)
  await eventually(() => expect(received(platform)).toBe(sent)) // all but the dropped one, and the last
})

test('a close first sends the buffered frames and the close frame, to a peer that reads again', async () => {
  const platform = await open()
  const sent = await fill(platform, (_result, buffered) => buffered > 300_000)
  platform.socket.close(4008, 'slow_consumer')
  expect(platform.closes).toEqual([{ code: 4008, reason: 'slow_consumer' }]) // at once, without waiting for the peer
  expect([platform.socket.readyState, platform.socket.getBufferedAmount()]).toEqual([3, 0])
  platform.raw.resume()
  await eventually(() => expect(platform.raw.closeCode()).toBe(4008))
  expect(received(platform)).toBe(sent)
  await eventually(() => expect(platform.raw.isOver()).toBe(true))
})

test('within cork frames keep their order, backpressure shows, and a close ends it', async () => {
  const platform = await open()
  const { socket, raw } = platform
  socket.send('0')
  socket.cork(() => {
    for (let n = 1; n <= 40; n += 1) socket.send(String(n).padEnd(2_000))
  })
  socket.send('41')
  await eventually(() => expect(received(platform)).toBe(42))
  expect(raw.frames.map(({ payload }) => Number(payload.toString()))).toEqual([...Array(42).keys()])

  raw.pause()
  let most = 0
  const sendMany = (): void => {
    for (let n = 0; n < 100 && most <= 262_144; n += 1)
      if (socket.send(message) === -1) most = Math.max(most, socket.getBufferedAmount())
  }
  for (let round = 0; round < 100; round += 1) {
    socket.cork(sendMany)
    await new Promise(setImmediate)
  }
  expect(most).toBeGreaterThan(262_144)
  expect(most).toBeLessThan(262_144 + 10 * message.length) // seen within the cork, not after it

  let isAfter: unknown
  socket.cork(() => {
    socket.close(4403, 'revoked')
    isAfter = socket.send('never')
  })
  expect([isAfter, platform.closes.length]).toEqual([0, 1])
  expect(socket.send('never')).toBe(0)
  socket.cork(() => {})
  raw.resume()
  await eventually(() => expect(raw.closeCode()).toBe(4403))
  expect(raw.frames.some(({ payload }) => payload.toString() === 'never')).toBe(false)
})

test('terminate calls the close handler at once', async () => {
  const platform = await open()
  platform.socket.terminate()
  expect(platform.closes).toEqual([{ code: 1006, reason: '' }])
  await eventually(() => expect(platform.raw.isOver()).toBe(true))
})

test('stop waits without end while a socket is open, and not for a closed one', async () => {
  const platform = await open()
  const stopped = platform.server.stop(false).then(() => 'stopped')
  const turns = new Promise<string>((resolve) => setTimeout(resolve, 200, 'waiting'))
  expect(await Promise.race([stopped, turns])).toBe('waiting')
  platform.socket.close(1012)
  expect(await stopped).toBe('stopped')
})

test('an async message handler does not hold back the next message', async () => {
  const order: string[] = []
  const gate = Promise.withResolvers<void>()
  const platform = await open({
    async message(_socket, text) {
      order.push(`begin ${String(text)}`)
      await gate.promise
      order.push(`end ${String(text)}`)
    },
  })
  platform.raw.send('1')
  platform.raw.send('2')
  await eventually(() => expect(order).toEqual(['begin 1', 'begin 2']))
  gate.resolve()
})
