// One HTTP/1.1 connection over plain TCP, one request at a time: cheap enough that the load takes less of the machine
// than what is measured. Reads just enough of an answer to know its status and its end.

export interface Answer {
  status: number
  /** From `performance.now()`. */
  firstByteAt: number
  endedAt: number
  bytes: number
}

type Tcp = Awaited<ReturnType<typeof Bun.connect>>

const headEnd = Buffer.from('\r\n\r\n')
const timeoutMs = 30_000

/** Status 0 stands for a connection that ended before the answer did. */
const noAnswer = { status: 0, firstByteAt: Number.NaN, bytes: 0 }

/** With the usual one of its protocol where the URL names none. */
export const portOf = ({ port, protocol }: URL): number =>
  port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)

export class HttpConnection {
  #tcp: Tcp | null = null
  #onAnswer: ((answer: Answer) => void) | null = null
  #head: Buffer = Buffer.alloc(0)
  #answer: Answer | null = null
  #left = 0
  #isChunked = false
  #closesAfter = false
  #tail = ''
  #sentAt = 0
  /** Of a request that the socket has not taken yet. */
  #unsent: Buffer | null = null

  /** @param origin `http:` or `https:`. */
  constructor(private readonly origin: URL) {}

  get isBusy(): boolean {
    return this.#onAnswer !== null
  }

  /** @param request as bytes. `onAnswer` is called once. */
  send(request: Buffer, onAnswer: (answer: Answer) => void): void {
    this.#onAnswer = onAnswer
    this.#sentAt = performance.now()
    if (this.#tcp) this.#write(this.#tcp, request)
    else void this.#connect(request)
  }

  async #connect(request: Buffer): Promise<void> {
    try {
      const tcp: Tcp = await Bun.connect({
        hostname: this.origin.hostname,
        port: portOf(this.origin),
        tls: this.origin.protocol === 'https:',
        socket: {
          data: (_, bytes) => this.#read(bytes),
          drain: (socket) => this.#drain(socket),
          close: (socket) => this.#closed(socket),
          error: () => {},
          connectError: () => {},
        },
      })
      tcp.setNoDelay(true)
      this.#tcp = tcp
      this.#write(tcp, request)
    } catch {
      this.#end({ ...noAnswer, endedAt: performance.now() })
    }
  }

  #write(tcp: Tcp, bytes: Buffer): void {
    const taken = tcp.write(bytes)
    this.#unsent = taken < bytes.length ? bytes.subarray(Math.max(0, taken)) : null
  }

  #drain(socket: Tcp): void {
    if (this.#tcp === socket && this.#unsent) this.#write(socket, this.#unsent)
  }

  #closed(socket: Tcp): void {
    if (this.#tcp !== socket) return
    this.#tcp = null
    this.#unsent = null
    if (this.#onAnswer) this.#end({ ...noAnswer, endedAt: performance.now() })
  }

  /** Ends a connection whose answer is overdue. */
  sweep(now: number): void {
    if (this.#onAnswer && now - this.#sentAt > timeoutMs) this.#tcp?.terminate()
  }

  close(): void {
    this.#onAnswer = null
    this.#tcp?.terminate()
  }

  #read(chunk: Buffer): void {
    if (this.#answer) return this.#body(chunk)
    this.#head = this.#head.length === 0 ? chunk : Buffer.concat([this.#head, chunk])
    const end = this.#head.indexOf(headEnd)
    if (end < 0) return void (this.#head = Buffer.from(this.#head))
    const head = this.#head.toString('latin1', 0, end)
    const rest = this.#head.subarray(end + 4)
    this.#head = Buffer.alloc(0)
    const status = Number(head.slice(9, 12))
    const hasBody = status !== 204 && status !== 304
    this.#isChunked = hasBody && /\r\ntransfer-encoding: *chunked/i.test(head)
    this.#left = hasBody ? Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0) : 0
    this.#closesAfter = /\r\nconnection: *close/i.test(head)
    this.#tail = ''
    this.#answer = { status, firstByteAt: performance.now(), endedAt: 0, bytes: 0 }
    this.#body(rest)
  }

  #body(chunk: Buffer): void {
    const answer = this.#answer!
    answer.bytes += chunk.length
    if (this.#isChunked) {
      // The last chunk is empty; nothing follows it on a connection that has one request at a time.
      this.#tail = (this.#tail + chunk.toString('latin1', Math.max(0, chunk.length - 7))).slice(-7)
      if (this.#tail !== '\r\n0\r\n\r\n' && this.#tail !== '0\r\n\r\n') return
    } else {
      this.#left -= chunk.length
      if (this.#left > 0) return
    }
    answer.endedAt = performance.now()
    if (this.#closesAfter) {
      const tcp = this.#tcp
      this.#tcp = null
      tcp?.end()
    }
    this.#end(answer)
  }

  #end(answer: Answer): void {
    const onAnswer = this.#onAnswer
    this.#onAnswer = null
    this.#answer = null
    this.#head = Buffer.alloc(0)
    onAnswer?.(answer)
  }
}
