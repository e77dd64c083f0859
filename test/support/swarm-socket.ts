// A socket of a swarm, over plain TCP: it must be able to stop reading and must cost little. Frames are only looked at,
// not parsed, where thousands a second come.
import type { Seat } from './swarm.ts'
import type { Tally } from './swarm-tally.ts'

type Tcp = Awaited<ReturnType<typeof Bun.connect>>

const backoffMs = { least: 500, most: 20_000 }
const connectTimeoutMs = 15_000
/** Of an event: what comes before the title of a task, and the beginning of that. */
const startLength = 560
const scopeAt = '{"t":"event","scope":"'.length
/** Of an entry that the worker appends seconds after writes, how many depends on its pace. */
const announcement = '"type":"stats.updated"'

export class SwarmSocket {
  live = false
  events = 0
  written = 0
  isPaused = false
  everPaused = false
  #tcp: Tcp | null = null
  #cursor: string | null
  #number = 0
  #unread: Buffer = Buffer.alloc(0)
  #isUpgraded = false
  #failures = 0
  #lostAt = 0
  #connectingAt = 0
  #waitedMs = 0
  #wait: [number, number] | null = null
  #closeCode = 1006
  #isGone = false
  #whenLive: () => void = () => {}

  constructor(
    readonly seat: Seat,
    private readonly urls: readonly URL[],
    private readonly tally: Tally,
  ) {
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
    const first = Math.floor(Math.random() * this.urls.length)
    // As a balancer does: where no server listens, the next one is tried.
    for (let tries = 0; tries < this.urls.length; tries += 1) {
      if (this.#isGone || (await this.#try(this.urls[(first + tries) % this.urls.length]!))) return
    }
    this.#lost()
  }

  /** Whether a server listens there. */
  async #try(url: URL): Promise<boolean> {
    this.#unread = Buffer.alloc(0)
    this.#isUpgraded = false
    this.#closeCode = 1006
    this.#connectingAt = performance.now()
    let timer: Timer | undefined
    try {
      this.#tcp = await Bun.connect({
        hostname: url.hostname,
        port: Number(url.port) || (url.protocol === 'https:' ? 443 : 80),
        tls: url.protocol === 'https:',
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
    this.tally.closed(this.#closeCode)
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
    if (payload[6] === 101 && payload[7] === 118)
      return this.#event(payload.toString('latin1', 0, startLength))
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
        this.tally.resyncs += 1
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
    if (this.#lostAt > 0) this.tally.resumed(performance.now() - this.#lostAt, this.#waitedMs)
    this.#lostAt = 0
    this.#waitedMs = 0
    if (this.seat.watches) this.send({ t: 'watch', rid: 2, key: this.seat.scope })
    this.#whenLive()
  }

  #event(start: string): void {
    const { tally, seat } = this
    tally.events += 1
    this.events += 1
    const isWritten = !start.includes(announcement)
    if (isWritten) {
      tally.written += 1
      this.written += 1
    }
    const scopeEnd = start.indexOf('"', scopeAt)
    const cursor = start.slice(scopeEnd + 12, start.indexOf('"', scopeEnd + 12))
    if (start.slice(scopeAt, scopeEnd) !== seat.scope) tally.leaked += 1
    const number = numberOf(cursor)
    if (number <= this.#number) tally[number === this.#number ? 'repeated' : 'reordered'] += 1
    this.#number = number
    this.#cursor = cursor
    if (isWritten) tally.arrived(seat.scope, number)
    if (!this.live) tally.replayed(performance.now() - this.#connectingAt)
    if (!this.live || this.everPaused) return
    const dueAt = start.indexOf('"title":"due ')
    if (dueAt > 0)
      tally.wasDue(performance.timeOrigin + performance.now() - Number.parseFloat(start.slice(dueAt + 13)))
    const at = start.indexOf('"at":"') + 6
    tally.aged(Date.now() - Date.parse(start.slice(at, at + 24)))
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

  /** Ends the TCP connection without a word, and comes back after `awayMs`. */
  cut(awayMs: number): void {
    if (!this.live) return
    this.#wait = [awayMs, awayMs]
    this.#tcp?.terminate()
  }

  close(): void {
    this.#isGone = true
    this.#tcp?.terminate()
  }
}

const numberOf = (cursor: string | null): number => Number(cursor?.slice(cursor.lastIndexOf('.') + 1) ?? 0)
