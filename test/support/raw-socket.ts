// A WebSocket client over plain TCP, for what a well-behaved client cannot do: stop reading, send malformed frames,
// disconnect without a close. It answers neither pings nor closes by itself.
import net from 'node:net'
import { eventually } from './eventually.ts'
import { faultOf, type Frame } from './socket.ts'

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface RawFrame {
  opcode: number
  payload: Buffer
}

export interface RawSocket extends Disposable {
  /** The answer's status; 101 once it is a socket. */
  status: number
  headers: Headers
  /** Whole frames read so far. */
  frames: RawFrame[]
  /** Text frames, parsed. */
  texts(): Frame[]
  /** 1005 for a close that gives none; null before it. */
  closeCode(): number | null
  /** Whether the connection itself has ended. */
  isOver(): boolean
  /** Stops reading: what is sent from now on fills the buffers of kernel and server. */
  pause(): void
  resume(): void
  send(frame: unknown): void
  sendFrame(opcode: number, payload: Uint8Array): void
  sendBytes(bytes: Uint8Array): void
}

interface RawOptions {
  token?: string
  protocols?: string[] | null
  headers?: Record<string, string>
  path?: string
}

/** Resolves with the answer to the handshake, accepted or not. */
export const openRaw = async (
  port: number,
  { token, protocols, headers = {}, path = '/api/ws' }: RawOptions = {},
): Promise<RawSocket> => {
  const offered =
    protocols === undefined ? ['tasktide.v1', ...(token === undefined ? [] : [`jwt.${token}`])] : protocols
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  const frames: RawFrame[] = []
  let head: string | null = null
  let unread: Buffer[] = []
  let unreadBytes = 0
  let over = false

  /** Joins unread bytes only when the next frame is complete, so that large streams cost linear time. */
  let wantedBytes = 0
  const read = (): void => {
    if (unreadBytes < wantedBytes) return
    let bytes: Buffer = Buffer.concat(unread)
    if (head === null) {
      const end = bytes.indexOf('\r\n\r\n')
      if (end < 0) {
        unread = [bytes]
        return
      }
      head = bytes.toString('latin1', 0, end)
      bytes = bytes.subarray(end + 4)
    }
    wantedBytes = 0
    for (let frame = parse(bytes); frame; frame = parse(bytes)) {
      if (frame.bytes > bytes.length) {
        wantedBytes = frame.bytes
        break
      }
      frames.push({ opcode: frame.opcode, payload: bytes.subarray(frame.start, frame.bytes) })
      bytes = bytes.subarray(frame.bytes)
    }
    unread = [bytes]
    unreadBytes = bytes.length
  }
  socket.on('data', (chunk: Buffer) => {
    unread.push(chunk)
    unreadBytes += chunk.length
    read()
  })
  socket.on('error', () => {})
  socket.on('close', () => (over = true))
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    'Sec-WebSocket-Version: 13',
    ...(offered ? [`Sec-WebSocket-Protocol: ${offered.join(', ')}`] : []),
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const [first = '', ...rest] = await eventually(() => {
    if (head === null) throw new Error(over ? 'closed without an answer' : 'no answer to the handshake')
    return head.split('\r\n')
  })
  const raw: RawSocket = {
    status: Number(first.split(' ')[1]),
    headers: new Headers(
      rest.map((line): [string, string] => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()]
      }),
    ),
    frames,
    texts: () =>
      frames
        .filter(({ opcode }) => opcode === opcodes.text)
        .map(({ payload }) => {
          const frame = JSON.parse(payload.toString()) as Frame
          const fault = raw.headers.get('sec-websocket-protocol') === 'tasktide.v1' ? faultOf(frame) : null
          if (fault !== null) throw new Error(fault)
          return frame
        }),
    closeCode: () => {
      const payload = frames.find(({ opcode }) => opcode === opcodes.close)?.payload
      return payload ? (payload.length < 2 ? 1005 : payload.readUInt16BE(0)) : null
    },
    isOver: () => over,
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    send: (frame) =>
      raw.sendFrame(opcodes.text, Buffer.from(typeof frame === 'string' ? frame : JSON.stringify(frame))),
    sendFrame: (opcode, payload) => raw.sendBytes(encode(opcode, payload)),
    sendBytes: (bytes) => void socket.write(bytes),
    [Symbol.dispose]: () => void socket.destroy(),
  }
  return raw
}

/** Where the first frame starts and ends; null while the header is incomplete. */
const parse = (bytes: Buffer): { opcode: number; start: number; bytes: number } | null => {
  if (bytes.length < 2) return null
  const opcode = bytes[0]! & 15
  const short = bytes[1]! & 127
  const start = short === 127 ? 10 : short === 126 ? 4 : 2
  if (bytes.length < start) return null
  const length =
    short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short
  return { opcode, start, bytes: start + length }
}

/** A final frame with a mask of zeros, as a client must mask. */
const encode = (opcode: number, payload: Uint8Array): Buffer => {
  const length = payload.length
  const head = Buffer.alloc(length < 126 ? 6 : length < 65_536 ? 8 : 14)
  head[0] = 0x80 | opcode
  if (length < 126) head[1] = 0x80 | length
  else if (length < 65_536) {
    head[1] = 0x80 | 126
    head.writeUInt16BE(length, 2)
  } else {
    head[1] = 0x80 | 127
    head.writeBigUInt64BE(BigInt(length), 2)
  }
  return Buffer.concat([head, payload])
}
