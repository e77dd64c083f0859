// Several server processes on one port, and the parent that keeps them alive: the kernel distributes connections, and
// the processes share state only through the log. A process that ends is started again with exponential back-off; after
// ten failed starts in a row the parent ends with an error. No child outlives its parent.
import type { Subprocess } from 'bun'
import { httpUrl } from '../settings/url.ts'
import type { Running } from './base.ts'
import type { Config } from '../config.ts'
import { listenError } from './free-port.ts'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import type { Log } from '../log.ts'
import type { MetricsJson } from '../metrics/exposition.ts'
import { MetricsOfProcesses, Questions, type FromProcess, type ToProcess } from './metrics-exchange.ts'
import { serveMetrics } from './server-metrics.ts'
import { childDeadlineMs } from './shutdown.ts'
import { listenFailure, StartFailure } from '../start/failure.ts'

/** The IPC message of a child: its port once it answers, or why it does not start. */
export type ServerMessage =
  | { port: number }
  | { failure: { message: string; exitCode: 1 | 69 | 78 } }
  | FromProcess

export interface ServersOptions {
  config: Pick<Config, 'host' | 'port' | 'metricsPort' | 'internalHost'>
  count: number
  /** Starts one server that shares its port and sends a `ServerMessage` over IPC. */
  command: string[]
  environment: Record<string, string | undefined>
  log: Log
  /** The back-off before a process is started again, first and longest; for tests. */
  pauseMs?: { first: number; most: number }
}

export interface Servers extends Running {
  /** Rejects after ten failed starts of a process in a row. */
  failed: Promise<never>
}

const readyWithinMs = 30_000
const usualPauseMs = { first: 100, most: 10_000 }
/** Failed starts of one process in a row. */
const maxFailures = 10
/** A process that ran for this long counts as started. */
const goodAfterMs = 60_000

/** Resolves when all processes answer. @throws StartFailure where the port is taken; Error where a process does not start. */
export const openServers = async (options: ServersOptions): Promise<Servers> => {
  const { config, count } = options
  // Binding a shared port succeeds beside a stale process, which would take a part of the connections: check before.
  const error = listenError(config.port, config.host)
  if (error !== null) throw listenFailure(error, { setting: 'PORT', ...config })
  await using stack = new AsyncDisposableStack()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {}) // callers that await it receive the rejection too
  const metrics = new MetricsOfProcesses(() => servers.map((one) => [one.number, one.askMetrics()]))
  const process = (number: number): ServerProcess => new ServerProcess(number, options, metrics)
  const first = process(1)
  const servers = [first, ...Array.from({ length: count - 1 }, (_, n) => process(n + 2))]
  stack.defer(async () => void (await Promise.all(servers.map((server) => server.stop()))))
  const port = await first.start(config.port) // port 0: the first process chooses the port of all
  await Promise.all(servers.slice(1).map((server) => server.start(port)))
  for (const server of servers) server.keep(port).catch(failed.reject)
  const internalPort = stack.use(serveMetrics(config, () => metrics.text()))?.port ?? null
  const owned = stack.move()
  return {
    url: httpUrl(config.host, port),
    port,
    internalPort,
    failed: failed.promise,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

class ServerProcess {
  #child: Subprocess | null = null
  readonly #questions = new Questions<MetricsJson>()
  #startedAt = 0
  readonly #stopping = new AbortController()

  constructor(
    readonly number: number,
    private readonly options: ServersOptions,
    private readonly metrics: MetricsOfProcesses,
  ) {}

  /** What the process counts; null where it does not answer. */
  askMetrics(): Promise<MetricsJson | null> {
    return this.#questions.ask((ask) => this.#send({ ask })).catch(() => null)
  }

  #send(message: ToProcess): void {
    this.#child?.send(message)
  }

  async #sendAll(id: number): Promise<void> {
    this.#send({ all: { id, text: await this.metrics.text() } })
  }

  /** Starts the process; resolves with its port when it answers. */
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
        if ('metrics' in message) return this.#questions.answer(message.metrics.id, message.metrics.json)
        if ('askAll' in message) {
          this.#sendAll(message.askAll).catch(() => {}) // it waits no longer than its deadline
          return
        }
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

  /** Starts it again whenever it ends. Resolves after `stop`, rejects after too many failed starts. */
  async keep(port: number): Promise<void> {
    const { log, pauseMs = usualPauseMs } = this.options
    const stopping = this.#stopping.signal
    let failures = 0
    for (;;) {
      await this.#child!.exited
      await this.metrics.end(this.number)
      if (stopping.aborted) return
      const end = endOf(this.#child!)
      failures = performance.now() - this.#startedAt > goodAfterMs ? 1 : failures + 1
      if (failures > maxFailures)
        throw new Error(`server process ${this.number} ended ${failures} times in a row; the last ${end}`)
      log.error({ worker: this.number, failures }, `a server process ${end}; it is started again`)
      await pause(backOffMs(failures, pauseMs.first, pauseMs.most), stopping)
      if (stopping.aborted) return
      await this.start(port).catch(() => {}) // the process has ended: the next iteration counts it
    }
  }

  /** Sends SIGTERM, and SIGKILL after the deadline. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    const child = this.#child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      this.options.log.error({ worker: this.number }, 'a server process did not stop in time')
      child.kill('SIGKILL')
    }, childDeadlineMs)
    await child.exited
    clearTimeout(timer)
  }
}

const endOf = ({ exitCode, signalCode }: Subprocess): string =>
  signalCode === null ? `ended with ${exitCode}` : `was ended by ${signalCode}`
