// Under --json the ready line is the first line of standard output, before every line of the log, also of processes that
// share a port; what the log held back for it follows.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { sharedRedisUrl, testDatabase } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram } from '../support/program.ts'

const stack = new AsyncDisposableStack()
let databaseUrl: string

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
})

afterAll(() => stack.disposeAsync())

const linesOf = (output: string): Record<string, unknown>[] =>
  output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

test.each([
  ['server', 1],
  ['worker', 1],
  ['all', 1],
  ['server --workers 3', 4],
])(
  '%s',
  async (role, processes) => {
    const config = {
      databaseUrl,
      redisUrl: sharedRedisUrl(),
      jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }],
    }
    const args = role.split(' ')
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
    await using program = await startProgram({ config } as never, {
      args,
      environment: { LOG_LEVEL: 'debug', WORKER_PORT: '0' },
    })
    const lines = await eventually(async () => {
      const written = linesOf(await program.output())
      expect(written.filter(({ msg }) => msg === `${args[0]} is ready`)).toHaveLength(processes)
      return written
    })
    const { url, pid } = program
    expect(lines[0]).toEqual({ ready: true, role: args[0], url, pid })
    expect(lines.filter(({ ready }) => ready !== undefined)).toHaveLength(1)
    // What was logged during the start is not lost.
    if (role === 'worker' || role === 'all')
      expect(lines.map(({ msg }) => msg)).toContain('mails are sent to this destination')
    if (processes > 1)
      expect(lines.filter(({ msg }) => msg === 'a server process is ready')).toHaveLength(processes - 1)
  },
  40_000,
)
