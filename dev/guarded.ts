// A child that cannot outlive us. A shell between us and the child holds the reading end of a pipe: when we are
// gone, however that happened, the pipe closes and the shell stops the child. It runs in its own session, so
// that Ctrl-C in a terminal reaches only us and we stop the parts in order.
import { closeSync, openSync } from 'node:fs'
import { until, withTimeout } from '../src/async/timeout.ts'
import { tailOf } from './log-tail.ts'
import { identify, isAlive, type ProcessIdentity } from './process-identity.ts'

export interface GuardedOptions {
  command: string[]
  /** Standard output and error are appended here. */
  logFile: string
  /** What stops the child in an orderly way; sent by the guard too. */
  stopSignal: 'SIGINT' | 'SIGTERM'
  env: Record<string, string | undefined>
  cwd?: string
}

export interface Guarded {
  readonly process: ProcessIdentity
  /** The exit code, once the child has ended for any reason. */
  readonly exited: Promise<number>
  isRunning(): boolean
  /** Undefined once `isReady`; else why it will not be: the end of its log, or `timeoutMs`, after which it is stopped. */
  failure(timeoutMs: number, isReady: () => boolean): Promise<string | undefined>
  /** Sends `signal` (default the stop signal), after `timeoutMs` SIGKILL, and waits for the end. */
  stop(timeoutMs: number, signal?: NodeJS.Signals): Promise<number>
  /** kill -9. */
  kill(): Promise<number>
}

const guard = `
exec 3<&0
"$@" 3<&- </dev/null >>"$GUARD_LOG" 2>&1 &
child=$!
echo $child
{ read _ <&3; kill -s "$GUARD_SIGNAL" $child; kill -s CONT $child; } >/dev/null 2>&1 &
reader=$!
exec 3<&- 0<&- 1>&-
wait $child
code=$?
kill $reader
exit $code
`

const startTimeoutMs = 5_000
const orphanTimeoutMs = 15_000

export const send = (pid: number, signal: NodeJS.Signals): void => {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended already, which every signal sent from here aims at.
  }
}

/** Ends any process: `signal` first, SIGKILL after `timeoutMs`. */
export const end = async (
  target: ProcessIdentity,
  signal: NodeJS.Signals,
  timeoutMs: number,
): Promise<void> => {
  const gone = () => (isAlive(target) ? undefined : true)
  if (gone()) return
  send(target.pid, signal)
  send(target.pid, 'SIGCONT') // a stopped process would notice only when it is continued
  try {
    await until(timeoutMs, `process ${target.pid} after ${signal}`, gone)
  } catch {
    send(target.pid, 'SIGKILL')
    await until(startTimeoutMs, `process ${target.pid} after SIGKILL`, gone)
  }
}

const firstLine = async (stream: ReadableStream<Uint8Array>): Promise<string> => {
  let text = ''
  const decoder = new TextDecoder()
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    if (text.includes('\n')) break
  }
  return text.trim()
}

export const startGuarded = async (options: GuardedOptions): Promise<Guarded> => {
  const { command, logFile, stopSignal, env, cwd } = options
  closeSync(openSync(logFile, 'a', 0o600))
  const shell = Bun.spawn(['/bin/sh', '-c', guard, 'guard', ...command], {
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...env, GUARD_LOG: logFile, GUARD_SIGNAL: stopSignal.slice(3) },
    stdio: ['pipe', 'pipe', 'ignore'],
    detached: true,
  })
  const pid = Number(await withTimeout(startTimeoutMs, `starting ${command[0]}`, firstLine(shell.stdout)))
  const child = identify(pid) ?? { pid, born: 'gone before it could be looked at' }
  const exited = shell.exited.then(async (code) => {
    await end(child, stopSignal, orphanTimeoutMs) // a guard that was killed guards nothing
    return code
  })
  const isRunning = () => isAlive(child)
  const stop = async (timeoutMs: number, signal: NodeJS.Signals = stopSignal): Promise<number> => {
    await end(child, signal, timeoutMs)
    return exited
  }
  return {
    process: child,
    exited,
    isRunning,
    async failure(timeoutMs, isReady) {
      const endsAt = performance.now() + timeoutMs
      while (isRunning()) {
        if (isReady()) return undefined
        if (performance.now() > endsAt) {
          await stop(orphanTimeoutMs)
          return `not ready after ${timeoutMs} ms:\n${tailOf(logFile)}`
        }
        await Bun.sleep(5)
      }
      return tailOf(logFile)
    },
    stop,
    kill: () => stop(orphanTimeoutMs, 'SIGKILL'),
  }
}
