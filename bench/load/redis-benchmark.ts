// What Redis alone does: `redis-benchmark` where it is installed, or beside the embedded server's own binary.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { redisBinary } from '../../dev/redis-binary.ts'

interface Program {
  path: string
  env: Record<string, string>
}

export const findRedisBenchmark = async (): Promise<Program | null> => {
  const onPath = Bun.which('redis-benchmark')
  if (onPath) return { path: onPath, env: {} }
  const server = await redisBinary()
  const path = join(dirname(server.path), 'redis-benchmark')
  return existsSync(path) ? { path, env: server.env } : null
}

const connections = 16

/** `SET` over as many connections as the server has for PostgreSQL, without pipelining. */
export const runRedisBenchmark = async (
  program: Program,
  redisUrl: string,
  requests: number,
): Promise<{ perSecond: number; generatorCpu: number }> => {
  const { hostname, port, password } = new URL(redisUrl)
  const child = Bun.spawn(
    // On loopback, with a password that lives as long as the run.
    [
      program.path,
      '-h',
      hostname,
      '-p',
      port,
      '-c',
      String(connections),
      '-n',
      String(requests),
      '-t',
      'set',
      '--csv',
      ...(password ? ['-a', password] : []),
    ],
    { env: program.env, stdout: 'pipe', stderr: 'pipe' },
  )
  const [text, fault] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  if ((await child.exited) !== 0) throw new Error(`redis-benchmark failed: ${fault}`)
  const perSecond = Number(/^"SET","([\d.]+)"/m.exec(text)?.[1] ?? Number.NaN)
  const took = requests / perSecond
  return { perSecond, generatorCpu: Number(child.resourceUsage()!.cpuTime.total) / 1e6 / took }
}
