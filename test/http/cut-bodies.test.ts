// A client that closes its connection in a body: nothing is logged as a failure of the server, and nothing is left of it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { startProgram, type Program } from '../support/program.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let server: Program
let person: Person

beforeAll(async () => {
  world = await startWorld()
  person = await world.register('Ada')
  server = await startProgram(world, { args: ['server'], environment: { LOG_LEVEL: 'info' } })
}, 60_000)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

for (const [what, framing, part] of [
  ['of a declared length', 'Content-Length: 500', '{"title":"'],
  ['in chunks', 'Transfer-Encoding: chunked', 'a\r\n{"title":"\r\n'],
] as const)
  test(`A body ${what} that ends early is no error in the log`, async () => {
    const { hostname, port } = new URL(server.url)
    const socket = await Bun.connect({ hostname, port: Number(port), socket: { data() {} } })
    const id = `cut-${framing.slice(0, 1)}`
    socket.write(
      `POST /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${person.token}\r\nX-Request-Id: ${id}\r\nContent-Type: application/json\r\n${framing}\r\n\r\n${part}`,
    )
    socket.flush()
    socket.end()
    await eventually(async () => expect(await server.output()).toContain(id), { timeoutMs: 10_000 })
    expect((await server.output()).split('\n').filter((line) => line.includes('"level":"error"'))).toEqual([])
  }, 30_000)
