// When a socket closes, by the client or the server, the log gets one line with its user and the id of its upgrade request.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import { openSocket } from '../support/socket.ts'
import { startWorld, type World } from '../support/world.ts'

let world: World
let program: Program

beforeAll(async () => {
  world = await startWorld()
  program = await startProgram(world, { args: ['server'], environment: { LOG_LEVEL: 'info' } })
})

afterAll(async () => {
  await program?.[Symbol.asyncDispose]()
  await world?.[Symbol.asyncDispose]()
}, 40_000)

const linesOf = async (message: string): Promise<Record<string, unknown>[]> =>
  (await program.output())
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ msg }) => msg === message)

/** The line of a connection; those of others are left out. */
const lineOf = (connection: unknown) =>
  eventually(async () => {
    const own = (await linesOf('connection')).filter((line) => line['connection'] === connection)
    expect(own).toHaveLength(1)
    return own[0]!
  })

test('a socket that the client closes, and one whose session ends', async () => {
  for (const [end, code] of [
    ['close', 1005], // the client gives no code
    ['logout', 4403],
  ] as const) {
    const anna = await world.register()
    await using socket = await openSocket(program.url, { token: anna.token })
    const { connection } = await socket.take('welcome')
    if (end === 'close') socket.close()
    else await world.call('POST', '/api/auth/logout-all', { token: anna.token })
    expect(await socket.closed()).toBe(code)
    const line = await lineOf(connection)
    expect(line).toMatchObject({ level: 'info', name: 'server', userId: anna.id, code })
    expect(line['durationMs']).toBeGreaterThanOrEqual(0)
    const [request] = (await linesOf('request')).filter(({ requestId }) => requestId === line['requestId'])
    expect(request).toMatchObject({ path: '/api/ws' })
  }
}, 30_000)

test('a socket whose user is not known has no user in its line', async () => {
  const before = (await linesOf('connection')).length
  await using socket = await openSocket(program.url, { token: 'no.good.token' })
  expect(await socket.closed()).toBe(4401)
  const line = await eventually(async () => {
    const lines = await linesOf('connection')
    expect(lines).toHaveLength(before + 1)
    return lines.at(-1)!
  })
  expect(line).toMatchObject({ code: 4401 })
  expect(Object.keys(line)).not.toContain('userId')
}, 30_000)
