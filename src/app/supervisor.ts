// Several server processes on one port, and the parent that keeps them: the kernel deals out connections, the log
// keeps the processes of one mind. One that ends is started again, later each time; when that does not help the
// parent gives up, so that whoever supervises it notices. No child outlives its parent.
import type { Subprocess } from 'bun'
import { httpUrl, type Running } from './compose.ts'
import type { Config } from '../config.ts'
import { listenError } from './free-port.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import type { Log } from '../log.ts'
import { listenFailure, StartFailure } from '../start/failure.ts'

/** What a child sends its parent once it answers, or when it cannot start. */
export type ServerMessage = { port: number } | { failure: { message: string; exitCode: 1 | 69 | 78 } }

export interface ServersOptions {
  config: Pick<Config, 'host' | 'port'>
  count: number
  /** Starts one server that shares its port and says that it is ready over IPC. */
  command: string[]
  environment: Record<string, string | undefined>
  log: Log
  /** Before a process is started again: at first, and at most. Tests cannot wait. */
  pauseMs?: { first: number; most: number }
}

export interface Servers extends Running {
  /** Rejects when a process cannot be kept alive. */
  failed: Promise<never>
}

const readyWithinMs = 30_000
/** A process has 30 s itself. */
const stopWithinMs = 32_000
const usualPauseMs = { first: 100, most: 10_000 }
/** Starts in a row that led nowhere. */
const maxFailures = 10
/** A process that lived this long had a good start. */
const goodAfterMs = 60_000

/** Resolves when all answer. @throws Error where the port is taken or a process does not start. */
export const openServers = async (options: ServersOptions): Promise<Servers> => {
  const { config, count } = options
  // With a shared port nobody else would: somebody left from before would take a part of the connections.
  const error = listenError(config.port, config.host)
  if (error !== null) throw listenFailure(error, { setting: 'PORT', ...config })
  await using stack = new AsyncDisposableStack()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // whoever waits for it also gets it
  const first = new ServerProcess(1, options)
  const servers = [first, ...Array.from({ length: count - 1 }, (_, n) => new ServerProcess(n + 2, options))]
  stack.defer(async () => void (await Promise.all(servers.map((server) => server.stop()))))
  const port = await first.start(config.port) // which chooses one for all, where any will do
  await Promise.all(servers.slice(1).map((server) => server.start(port)))
  for (const server of servers) server.keep(port).catch(failed.reject)
  const owned = stack.move()
  return {
    url: httpUrl(config.host, port),
    port,
    failed: failed.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

class ServerProcess {
  #child: Subprocess | null = null
  #startedAt = 0
  readonly #stopping = new AbortController()

  constructor(
    private readonly number: number,
    private readonly options: ServersOptions,
  ) {}

  /** Resolves with its port when it answers. */
  async start(port: number): Promise<number> {
    const { command, environment, log } = this.options
    const ready = Promise.withResolvers<number>()
    this.#startedAt = performance.now()
    const child = Bun.spawn(command, {
      env: { ...environment, PORT: String(port) },
      stdio: ['ignore', 'inherit', 'inherit'],
      serialization: 'json',
      ipc: (message: ServerMessage) => {
        if ('port' in message) return ready.resolve(message.port)
        const { failure } = message
        ready.reject(new StartFailure(failure.message, failure.exitCode))
      },
    })
    this.#child = child
    const timer = setTimeout(() => child.kill('SIGKILL'), readyWithinMs)
    try {
      const outcome = await Promise.race([ready.promise, child.exited.then(() => null)])
      if (outcome === null)
        throw new Error(`server process ${this.number} ${endOf(child)} before it was ready`)
      log.info({ worker: this.number, child: child.pid }, 'a server process is ready')
      return outcome
    } finally {
      clearTimeout(timer)
    }
  }

  /** Starts it again whenever it ends; rejects when that leads nowhere, resolves when it is told to stop. */
  async keep(port: number): Promise<void> {
    const { log, pauseMs = usualPauseMs } = this.options
    const stopping = this.#stopping.signal
    let failures = 0
    for (;;) {
      await this.#child!.exited
      if (stopping.aborted) return
      const end = endOf(this.#child!)
      failures = performance.now() - this.#startedAt > goodAfterMs ? 1 : failures + 1
      if (failures > maxFailures)
        throw new Error(`server process ${this.number} ended ${failures} times in a row; the last ${end}`)
      log.error({ worker: this.number, failures }, `a server process ${end}; it is started again`)
      await pause(backOffMs(failures, pauseMs.first, pauseMs.most), stopping)
      if (stopping.aborted) return
      await this.start(port).catch(() => {}) // it has ended: seen at the top
    }
  }

  /** An orderly end, or after its time a quick one. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.options.log.error({ worker: this.number }, 'a server process did not stop in time')
      child.kill('SIGKILL')
    }, stopWithinMs)
    await child.exited
    clearTimeout(timer)
  }
}

const endOf = ({ exitCode, signalCode }: Subprocess): string =>
  signalCode === null ? `ended with ${exitCode}` : `was ended by ${signalCode}`
