// A socket of a client that follows: it is dropped at random, notices a silent server, and connects again until it is
// stopped. What is followed is its owner's matter. Invariant: one socket is current, and frames of earlier ones are ignored.
import type { Person, Servers } from './api.ts'
import type { Random } from './random.ts'

export interface ConnectionOptions {
  /** Its token may change between two connects. */
  person: Person
  servers: Servers
  random: Random
  /** Milliseconds between two drops of the connection; null for none. */
  drops: { min: number; max: number } | null
  /** Milliseconds of the first pause before it connects again, doubled up to `most`, of which a random part is waited. */
  backOff: { first: number; most: number }
  onFrame: (frame: any, socket: WebSocket) => void
  /** The socket was lost, or a new one takes its place: nothing is subscribed. */
  onReset: () => void
  onDrop?: () => void
  onClose?: (event: CloseEvent) => void
}

const pingEveryMs = 1_000
/** After this long without a frame the connection is abandoned. */
const silentMs = 5_000

export class Connection {
  #socket: WebSocket | null = null
  #isStopped = false
  #isSettled = false
  #failures = 0
  #receivedAt = 0
  #waitMs: number | null = null
  #drop: Timer | undefined
  #pings: Timer | undefined

  constructor(private readonly options: ConnectionOptions) {}

  start(): void {
    this.#connect()
    this.#pings = setInterval(() => this.#ping(), pingEveryMs)
  }

  stop(): void {
    this.#isStopped = true
    clearTimeout(this.#drop)
    clearInterval(this.#pings)
    this.#socket?.close()
  }

  /** Stops dropping connections. */
  settle(): void {
    this.#isSettled = true
    clearTimeout(this.#drop)
  }

  isCurrent(socket: WebSocket): boolean {
    return socket === this.#socket
  }

  /** Whether a frame can be sent on it. */
  isOpen(socket: WebSocket): boolean {
    return this.isCurrent(socket) && socket.readyState === WebSocket.OPEN
  }

  /** The pause before the next connect, as a server asks for it. */
  pauseNext(ms: number): void {
    this.#waitMs = ms
  }

  /** Ends the socket without a close frame, as a lost network does; does not wait for the peer. */
  leave(socket: WebSocket): void {
    // Only Bun has it.
    ;(socket as unknown as { terminate(): void }).terminate()
    this.#again(socket)
  }

  #connect(): void {
    if (this.#isStopped) return
    const { random, servers, person, drops, onFrame, onReset, onDrop, onClose } = this.options
    const { url } = random.pick(servers.servers)
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`, [
      'tasktide.v1',
      `jwt.${person.token}`,
    ])
    this.#socket = socket
    onReset()
    this.#receivedAt = Date.now()
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return
      this.#receivedAt = Date.now()
      const frame = JSON.parse(String(data))
      if (frame.t === 'welcome') this.#failures = 0
      onFrame(frame, socket)
    }
    socket.onerror = () => {}
    socket.onclose = (event) => {
      onClose?.(event)
      this.#again(socket)
    }
    if (this.#isSettled || !drops) return
    clearTimeout(this.#drop)
    this.#drop = setTimeout(
      () => {
        onDrop?.()
        this.leave(socket)
      },
      random.between(drops.min, drops.max),
    )
  }

  /** Reconnects after a pause, once for each socket. */
  #again(socket: WebSocket): void {
    if (this.#socket !== socket || this.#isStopped) return
    this.#socket = null
    this.options.onReset()
    this.#failures += 1
    const { random, backOff } = this.options
    const waitMs = this.#waitMs ?? Math.min(backOff.first * 2 ** this.#failures, backOff.most) * random.next()
    this.#waitMs = null
    setTimeout(() => this.#connect(), waitMs)
  }

  #ping(): void {
    const socket = this.#socket
    if (!socket) return
    if (Date.now() - this.#receivedAt > silentMs) this.leave(socket)
    else if (socket.readyState === WebSocket.OPEN) socket.send('{"t":"ping"}')
  }
}
