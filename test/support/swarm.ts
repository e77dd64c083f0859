// Thousands of sockets in a process of their own: see `swarm-process.ts`. They resume with their cursors when they lose
// a connection, wait for the reconnect window of `bye`, and count the events they receive.
import { join } from 'node:path'

export interface Seat {
  token: string
  scope: string
  /** Where to begin; null for the scope's end at that moment. */
  cursor: string | null
  /** Whether it watches the presence of the scope, too. */
  watches?: boolean
}

export type SwarmCommand =
  /** Opens more sockets, `atOnce` handshakes at a time; they take the seats in turn. */
  | { do: 'open'; count: number; atOnce: number }
  /** The first `count` sockets read nothing more until `resume`; their pings stop too. */
  | { do: 'pause'; count: number }
  /** All of them, or the first `count`. */
  | { do: 'resume'; count?: number }
  /** Forgets the counts below, not the positions. `traces`: keeps when each socket receives an event, from now on. */
  | { do: 'forget'; traces?: boolean }
  /** From now on cuts each TCP connection after `everyMs` on average; the socket stays away for `awayMs`. Null stops. */
  | { do: 'cut'; everyMs: number | null; awayMs: number }
  | { do: 'report' }
  /** Closes the first `count` sockets for good. */
  | { do: 'close'; count: number }

export interface SwarmReport {
  sockets: number
  /** Subscribed and past `synced` now. */
  live: number
  events: number
  /** Those that a request wrote: without `stats.updated`, of which the worker appends as many as its pace allows. */
  written: number
  /** Per scope, of the sockets there: least and most events since their cursor, and of those that a request wrote. */
  scopes: Record<
    string,
    { sockets: number; least: number; most: number; leastWritten: number; mostWritten: number }
  >
  repeated: number
  reordered: number
  leaked: number
  resyncs: number
  /** Connections lost, by close code; 1006 for none. */
  closes: Record<string, number>
  /** Age of events on arrival, ms, of sockets that never paused. */
  ages: { count: number; p50: number; p90: number; p99: number; max: number }
  /** From losing a connection to being live again, the reconnect window included and without it, ms. */
  resumed: { count: number; p50: number; p95: number; p99: number; max: number; p99AfterWait: number }
  /** From the beginning of the connect that succeeded to the arrival of an event that was missed, ms. */
  replayed: { count: number; p50: number; p90: number; p99: number; max: number }
  /** From when a write was due, which its title `due <epoch ms>` says, to its arrival, ms. */
  dues: { count: number; p50: number; p90: number; p99: number; max: number }
  /** With `traces`: ms from the first arrival of an event to each arrival, of the last event. */
  trace: number[]
  /** From the first arrival of an event to the last, of the written events since `forget`: mean of ms, and frames a second. */
  fanOut: { events: number; meanMs: number; framesPerSecond: number }
}

export type SwarmMessage = { urls: string[]; seats: Seat[] } | { id: number; command: SwarmCommand }

export interface SwarmAnswer {
  id: number
  report: SwarmReport | null
}

export interface Swarm extends AsyncDisposable {
  /** Resolves when the command has been carried out. */
  execute(command: SwarmCommand): Promise<void>
  report(): Promise<SwarmReport>
}

const stopTimeoutMs = 5_000

/** @param urls http URLs of servers; a socket picks one at each connect. */
export const startSwarm = async (urls: string[], seats: Seat[]): Promise<Swarm> => {
  const waiting = new Map<number, (report: SwarmReport | null) => void>()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // the commands that wait receive the rejection
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'swarm-process.ts')], {
    stdio: ['ignore', 'inherit', 'inherit'],
    ipc: ({ id, report }: SwarmAnswer) => waiting.get(id)?.(report),
    onExit: (_, code) => failed.reject(new Error(`the swarm ended (${code})`)),
  })
  const send = (message: SwarmMessage): void => child.send(message)
  let id = 0
  const ask = async (command: SwarmCommand): Promise<SwarmReport | null> => {
    id += 1
    const { promise, resolve } = Promise.withResolvers<SwarmReport | null>()
    waiting.set(id, resolve)
    send({ id, command })
    return Promise.race([promise, failed.promise])
  }
  send({ urls, seats })
  return {
    execute: async (command) => void (await ask(command)),
    report: async () => (await ask({ do: 'report' }))!,
    async [Symbol.asyncDispose]() {
      child.kill()
      const timer = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
      await child.exited
      clearTimeout(timer)
    },
  }
}
