// A test's socket: keeps every frame in order and lets a scenario wait for the next one of a kind, with a deadline.
// Each frame is checked strictly against its shape: a frame that model/frames.ts does not describe fails the test.
import { EventEmitter, once } from 'node:events'
import { Type } from '@sinclair/typebox'
import { TypeCompiler } from '@sinclair/typebox/compiler'
import { serverFrames } from '../../src/model/frames.ts'

export interface Frame {
  t: string
  [field: string]: any
}

export interface TestSocket extends AsyncDisposable {
  frames: Frame[]
  /** Sends a frame, or text as it is. */
  send(frame: unknown): void
  /** The first matching frame that was not taken yet, received already or later. */
  take(fits: string | ((frame: Frame) => boolean), timeoutMs?: number): Promise<Frame>
  /** The close code, once closed. */
  closed(timeoutMs?: number): Promise<number>
  close(): void
}

interface SocketOptions {
  token?: string
  protocols?: string[]
  headers?: Record<string, string>
}

const checks = new Map(
  Object.entries(serverFrames).map(([t, { properties }]) => [
    t,
    TypeCompiler.Compile(Type.Object(properties, { additionalProperties: false })),
  ]),
)

/** What is wrong with a frame of the server; null if it is valid. */
export const faultOf = (frame: Frame): string | null => {
  const check = checks.get(frame.t)
  if (!check) return `no such frame: ${JSON.stringify(frame)}`
  if (check.Check(frame)) return null
  const error = check.Errors(frame).First()
  return `${error?.path}: ${error?.message} in ${JSON.stringify(frame)}`
}

/** @param url http URL of a server. Resolves when the socket is open or closed. */
export const openSocket = async (
  url: string,
  { token, protocols, headers }: SocketOptions = {},
): Promise<TestSocket> => {
  const offered = protocols ?? ['tasktide.v1', ...(token === undefined ? [] : [`jwt.${token}`])]
  // Bun's WebSocket takes headers, which no browser does.
  const socket = new WebSocket(`${url.replace('http', 'ws')}/api/ws`, {
    protocols: offered,
    headers: headers ?? {},
  } as unknown as string[])
  const frames: Frame[] = []
  const taken = new Set<Frame>()
  const news = new EventEmitter()
  news.setMaxListeners(0)
  let code: number | null = null
  let fault: string | null = null
  socket.addEventListener('message', (event) => {
    const frame = JSON.parse(String(event.data)) as Frame
    fault ??= faultOf(frame)
    frames.push(frame)
    news.emit('news')
  })
  socket.addEventListener('error', () => {})
  socket.addEventListener('close', (event) => {
    code = event.code
    news.emit('news')
  })

  const until = async <T>(look: () => T | null, what: string, timeoutMs: number): Promise<T> => {
    const signal = AbortSignal.timeout(timeoutMs)
    for (;;) {
      if (fault !== null) throw new Error(fault)
      const found = look()
      if (found !== null) return found
      await once(news, 'news', { signal }).catch(() => {
        throw new Error(
          `no ${what} within ${timeoutMs} ms; ${code === null ? 'open' : `closed with ${code}`}; last frames ${JSON.stringify(frames.slice(-5))}`,
        )
      })
    }
  }

  await new Promise<void>((resolve) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('close', () => resolve())
  })
  return {
    frames,
    send: (frame) => socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame)),
    async take(fits, timeoutMs = 5_000) {
      const matches = typeof fits === 'string' ? (frame: Frame) => frame.t === fits : fits
      const frame = await until(
        () => frames.find((one) => !taken.has(one) && matches(one)) ?? null,
        typeof fits === 'string' ? fits : 'such frame',
        timeoutMs,
      )
      taken.add(frame)
      return frame
    },
    closed: (timeoutMs = 5_000) => until(() => code, 'close', timeoutMs),
    close: () => socket.close(),
    async [Symbol.asyncDispose]() {
      socket.close()
      await until(() => code, 'close', 20_000) // the frames that are on their way arrive before
    },
  }
}
