// The second generator of closed loops, where Debian's package `wrk` is installed: it takes less CPU than autocannon, so
// that a row whose limit is the generator shows.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rounded } from '../statistics.ts'
import type { HttpRequest } from './job.ts'

export const findWrk = (): string | null => Bun.which('wrk')

const threads = 1

/** Requests per second of one request, repeated. @throws when wrk fails or one answer is no 2xx or 3xx. */
export const runWrk = async (
  program: string,
  load: { url: string; connections: number; seconds: number; request: HttpRequest },
): Promise<{ perSecond: number; generatorCpuMs: number; failed: number }> => {
  const { method, path, headers, body } = load.request
  const folder = await mkdtemp(join(tmpdir(), 'tide-wrk-'))
  try {
    const script = join(folder, 'request.lua')
    const lines = Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = [[${value}]]`)
    await Bun.write(
      script,
      [`wrk.method = "${method}"`, ...lines, ...(body === undefined ? [] : [`wrk.body = [[${body}]]`])].join(
        '\n',
      ),
    )
    const seconds = String(Math.max(1, Math.round(load.seconds)))
    const child = Bun.spawn(
      [
        program,
        '-t',
        String(threads),
        '-c',
        String(load.connections),
        '-d',
        seconds,
        '-s',
        script,
        load.url + path,
      ],
      { stdout: 'pipe', stderr: 'pipe' },
    )
    const [text, fault] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    if ((await child.exited) !== 0) throw new Error(`wrk failed: ${fault}`)
    const { cpuTime } = child.resourceUsage()!
    return {
      perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? Number.NaN),
      failed: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
      generatorCpuMs: Number(cpuTime.total) / 1000,
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** What wrk measures of the same load, as a note beside the row; what is missing where it is not installed. */
export const wrkNote = async (
  { seconds }: { seconds: number },
  url: string,
  request: HttpRequest,
  connections: number,
): Promise<string> => {
  const program = findWrk()
  if (program === null) return 'no second generator: wrk is not installed (Debian: wrk)'
  const { perSecond, generatorCpuMs, failed } = await runWrk(program, { url, connections, seconds, request })
  const share = rounded(generatorCpuMs / 1000 / Math.max(1, Math.round(seconds)))
  return `wrk: ${Math.round(perSecond)}/s at ${share} of a core, ${failed} failed`
}
