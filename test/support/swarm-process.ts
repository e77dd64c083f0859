// The process of a swarm: sockets over plain TCP, because they must be able to stop reading and must cost little.
// Frames are only looked at, not parsed, where thousands a second come.
import type { Seat, SwarmCommand, SwarmMessage, SwarmReport } from './swarm.ts'

type Tcp = Awaited<ReturnType<typeof Bun.connect>>

const pingEveryMs = 10_000
const backoffMs = { least: 500, most: 20_000 }
const connectTimeoutMs = 15_000
const agesKept = 400_000
const scopeAt = '{"t":"event","scope":"'.length

let urls: URL[] = []
let seats: Seat[] = []
const sockets: Client[] = []
const counts = { events: 0, repeated: 0, reordered: 0, leaked: 0, resyncs: 0 }
const closes: Record<string, number> = {}
let ages: number[] = []
let resumed: { ms: number; afterWaitMs: number }[] = []
/** By scope and number: when it arrived first and last, and how often. */
let arrivals = new Map<string, { first: number; last: number; count: number }>()

class Client {
  live = false
  events = 0
  isPaused = false
  everPaused = false
  #tcp: Tcp | null = null
  #cursor: string | null
  #number = 0
  #unread: Buffer = Buffer.alloc(0)
  #isUpgraded = false
  #failures = 0
  #lostAt = 0
  #waitedMs = 0
  #wait: [number, number] | null = null
  #closeCode = 1006
  #isGone = false
  #whenLive: () => void = () => {}

  constructor(readonly seat: Seat) {
    this.#cursor = seat.cursor
    this.#number = numberOf(seat.cursor)
  }

  /** Resolves when it is live for the first time. */
  open(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#whenLive = resolve
    void this.#connect()
    return promise
  }

  async #connect(): Promise<void> {
    const first = Math.floor(Math.random() * urls.length)
    // What a balancer does: where nobody listens, somebody else is asked.
    for (let tries = 0; tries < urls.length; tries += 1) {
      if (this.#isGone || (await this.#try(urls[(first + tries) % urls.length]!))) return
    }
    this.#lost()
  }

  /** Whether somebody listens there. */
  async #try(url: URL): Promise<boolean> {
    this.#unread = Buffer.alloc(0)
    this.#isUpgraded = false
    this.#closeCode = 1006
    let timer: Timer | undefined
    try {
      this.#tcp = await Bun.connect({
        hostname: url.hostname,
        port: Number(url.port),
        socket: {
          data: (_, bytes) => this.#read(bytes),
          close: () => this.#lost(),
          error: () => {},
          connectError: () => {},
        },
      })
      const tcp = this.#tcp
      timer = setTimeout(() => !this.live && tcp === this.#tcp && tcp.terminate(), connectTimeoutMs)
      tcp.setNoDelay(true)
      tcp.write(
        `GET /api/ws HTTP/1.1\r\nHost: ${url.host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
          'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n' +
          `Sec-WebSocket-Protocol: tasktide.v1, jwt.${this.seat.token}\r\n\r\n`,
      )
      return true
    } catch {
      clearTimeout(timer)
      return false
    }
  }

  #lost(): void {
    this.#tcp = null
    if (this.live) this.#lostAt = performance.now()
    this.live = false
    if (this.#isGone) return
    closes[this.#closeCode] = (closes[this.#closeCode] ?? 0) + 1
    const most = Math.min(backoffMs.least * 2 ** this.#failures, backoffMs.most)
    this.#failures += 1
    const [from, to] = this.#wait ?? [0, most]
    this.#wait = null
    const waitMs = from + Math.random() * (to - from)
    this.#waitedMs += waitMs
    setTimeout(() => void this.#connect(), waitMs)
  }

  #read(chunk: Buffer): void {
    let bytes = this.#unread.length === 0 ? chunk : Buffer.concat([this.#unread, chunk])
    if (!this.#isUpgraded) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) return void (this.#unread = Buffer.from(bytes))
      if (!bytes.subarray(0, 20).includes('101')) return this.#tcp?.terminate()
      this.#isUpgraded = true
      bytes = bytes.subarray(end + 4)
    }
    let at = 0
    while (bytes.length - at >= 2) {
      const short = bytes[at + 1]! & 127
      const head = short === 127 ? 10 : short === 126 ? 4 : 2
      if (bytes.length - at < head) break
      const length =
        short === 127
          ? Number(bytes.readBigUInt64BE(at + 2))
          : short === 126
            ? bytes.readUInt16BE(at + 2)
            : short
      if (bytes.length - at < head + length) break
      this.#frame(bytes[at]! & 15, bytes.subarray(at + head, at + head + length))
      at += head + length
    }
    this.#unread = at === bytes.length ? Buffer.alloc(0) : Buffer.from(bytes.subarray(at))
  }

  #frame(opcode: number, payload: Buffer): void {
    if (opcode === 8) {
      this.#closeCode = payload.length >= 2 ? payload.readUInt16BE(0) : 1005
      this.#tcp?.end()
      return
    }
    if (opcode !== 1) return
    // {"t":"event"…
    if (payload[6] === 101 && payload[7] === 118) return this.#event(payload.toString('latin1', 0, 400))
    const frame = JSON.parse(payload.toString())
    switch (frame.t) {
      case 'welcome':
        return this.send({ t: 'sub', rid: 1, scope: this.seat.scope, cursor: this.#cursor })
      case 'position':
        this.#cursor = frame.cursor
        return
      case 'synced':
        this.#cursor = frame.cursor
        this.#number = Math.max(this.#number, numberOf(frame.cursor))
        return this.#becameLive()
      case 'resync':
        counts.resyncs += 1
        return this.send({ t: 'sub', rid: 1, scope: this.seat.scope, cursor: null })
      case 'error':
        return void this.#tcp?.end()
      case 'bye':
        this.#wait = frame.reconnectAfter
    }
  }

  #becameLive(): void {
    this.live = true
    this.#failures = 0
    if (this.#lostAt > 0) {
      const ms = performance.now() - this.#lostAt
      resumed.push({ ms, afterWaitMs: ms - this.#waitedMs })
    }
    this.#lostAt = 0
    this.#waitedMs = 0
    this.#whenLive()
  }

  #event(start: string): void {
    counts.events += 1
    this.events += 1
    const scopeEnd = start.indexOf('"', scopeAt)
    const cursor = start.slice(scopeEnd + 12, start.indexOf('"', scopeEnd + 12))
    if (start.slice(scopeAt, scopeEnd) !== this.seat.scope) counts.leaked += 1
    const number = numberOf(cursor)
    if (number <= this.#number) counts[number === this.#number ? 'repeated' : 'reordered'] += 1
    this.#number = number
    this.#cursor = cursor
    const now = performance.now()
    const key = `${this.seat.scope}${number}`
    const arrival = arrivals.get(key)
    if (!arrival) arrivals.set(key, { first: now, last: now, count: 1 })
    else {
      arrival.last = now
      arrival.count += 1
    }
    if (!this.live || this.everPaused) return
    const at = start.indexOf('"at":"') + 6
    if (ages.length < agesKept) ages.push(Date.now() - Date.parse(start.slice(at, at + 24)))
  }

  send(frame: unknown): void {
    const text = Buffer.from(JSON.stringify(frame))
    const head = text.length < 126 ? Buffer.alloc(6) : Buffer.alloc(8)
    head[0] = 0x81
    head[1] = 0x80 | Math.min(text.length, 126)
    if (text.length >= 126) head.writeUInt16BE(text.length, 2)
    this.#tcp?.write(Buffer.concat([head, text]))
  }

  ping(): void {
    if (this.live && !this.isPaused) this.send({ t: 'ping' })
  }

  pause(): void {
    this.isPaused = true
    this.everPaused = true
    this.#tcp?.pause()
  }

  resume(): void {
    this.isPaused = false
    this.#tcp?.resume()
  }

  close(): void {
    this.#isGone = true
    this.#tcp?.terminate()
  }
}

const numberOf = (cursor: string | null): number => Number(cursor?.slice(cursor.lastIndexOf('.') + 1) ?? 0)

const percentile = (values: number[], share: number): number =>
  values.length === 0
    ? 0
    : values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))]!

const report = (): SwarmReport => {
  const scopes: SwarmReport['scopes'] = {}
  for (const { seat, events } of sockets) {
    const of = (scopes[seat.scope] ??= { sockets: 0, least: Number.MAX_SAFE_INTEGER, most: 0 })
    of.sockets += 1
    of.least = Math.min(of.least, events)
    of.most = Math.max(of.most, events)
  }
  const spreads = [...arrivals.values()].filter(({ count }) => count > 1)
  const spreadMs = spreads.reduce((sum, { first, last }) => sum + last - first, 0)
  const frames = spreads.reduce((sum, { count }) => sum + count, 0)
  return {
    sockets: sockets.length,
    live: sockets.filter(({ live }) => live).length,
    ...counts,
    scopes,
    closes,
    ages: {
      count: ages.length,
      p50: percentile(ages, 0.5),
      p99: percentile(ages, 0.99),
      max: percentile(ages, 1),
    },
    resumed: {
      count: resumed.length,
      p99: percentile(
        resumed.map(({ ms }) => ms),
        0.99,
      ),
      max: percentile(
        resumed.map(({ ms }) => ms),
        1,
      ),
      p99AfterWait: percentile(
        resumed.map(({ afterWaitMs }) => afterWaitMs),
        0.99,
      ),
    },
    fanOut: {
      events: spreads.length,
      meanMs: spreads.length === 0 ? 0 : spreadMs / spreads.length,
      framesPerSecond: spreadMs === 0 ? 0 : (frames / spreadMs) * 1000,
    },
  }
}

const openMore = async (count: number, atOnce: number): Promise<void> => {
  let left = count
  const openNext = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      const client = new Client(seats[sockets.length % seats.length]!)
      sockets.push(client)
      await client.open()
    }
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, openNext))
}

const obey = async (command: SwarmCommand): Promise<SwarmReport | null> => {
  if (command.do === 'report') return report()
  switch (command.do) {
    case 'open':
      await openMore(command.count, command.atOnce)
      break
    case 'pause':
      for (const client of sockets.slice(0, command.count)) client.pause()
      break
    case 'resume':
      for (const client of sockets) if (client.isPaused) client.resume()
      break
    case 'forget':
      ages = []
      resumed = []
      arrivals = new Map()
      break
    case 'close':
      for (const client of sockets.splice(0, command.count)) client.close()
  }
  return null
}

setInterval(() => {
  for (const client of sockets) client.ping()
}, pingEveryMs)

process.on('message', (message: SwarmMessage) => {
  if ('urls' in message) {
    urls = message.urls.map((url) => new URL(url))
    seats = message.seats
  } else void obey(message.command).then((report) => process.send!({ id: message.id, report }))
})
process.on('disconnect', () => process.exit())
