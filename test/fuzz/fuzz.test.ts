// The short form of `bun run fuzz`: one seed, and variants of the server that it must detect.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { variantEnvironment } from '../chaos/variants.ts'
import { startProgram, type Program } from '../support/program.ts'
import { startWorld, type World } from '../support/world.ts'
import { checkAfter } from './after.ts'
import { fuzz, type FuzzOptions, type FuzzResult } from './run.ts'
import { fuzzVariants } from './variants.ts'

const seed = 20_261_127

let world: World

beforeAll(async () => {
  world = await startWorld()
}, 60_000)

afterAll(() => world[Symbol.asyncDispose]())

const start = (environment: Record<string, string> = {}): Promise<Program> =>
  startProgram(world, { args: ['server'], environment: { TIDE_DATA: world.config.dataDir, ...environment } })

const run = ({ url }: Program, options: Partial<FuzzOptions>): Promise<FuzzResult> =>
  fuzz({
    url,
    seed,
    requests: 1_500,
    promote: (userId) =>
      world.server.deps.db.transact(
        async (tx) => void (await tx`update users set role = 'admin' where id = ${userId}`),
      ),
    ...options,
  })

test(`1,500 requests, seed ${seed}: answers as documented, nothing wrong accepted, nothing right refused`, async () => {
  await using server = await start()
  const result = await run(server, {})
  expect(result.violations).toEqual([])
  expect(result.requests).toBe(1_500)
  expect(await checkAfter(world.server.deps.db, result)).toEqual([])
  expect((await fetch(`${server.url}/readyz`)).status).toBe(200)
  // The mix reaches the handlers: every operation, and hundreds of requests that succeed.
  expect(result.counts.size).toBeGreaterThan(80)
  const succeeded = [...result.counts.values()]
    .flatMap((of) => [...of])
    .filter(([status]) => status >= 200 && status < 300)
  expect(succeeded.reduce((sum, [, count]) => sum + count, 0)).toBeGreaterThan(300)
}, 240_000)

/** Operations that show each variant within few requests, and the share of the requests that do. */
const controls: Record<string, Pick<FuzzOptions, 'only' | 'shares'>> = {
  'a limit that is not enforced': { only: /^POST \/api\/(?:tasks|projects)$/, shares: { violation: 3 } },
  'unknown members that are ignored': { only: /^POST \/api\/(?:tasks|projects)$/, shares: { violation: 3 } },
  'a format that is not enforced': {
    only: /^GET \/api\/(?:tasks|projects)\/\{id\}$/,
    shares: { violation: 3 },
  },
  'a status that is not documented': { only: /^POST \/api\/(?:tasks|projects)$/ },
  'an answer with a further member': { only: /^GET \/api\/users\/me$/ },
  'a handler that throws': { only: /^GET \/api\/tasks\/\{id\}\/comments$/ },
  '405 without Allow': { only: /^GET \/api\/(?:tasks|projects)$/, shares: { garbage: 3 } },
  'problems of another type': { only: /^GET \/api\/(?:tasks|projects)$/, shares: { violation: 3 } },
  'rights that are read before the credentials': { only: /^GET \/api\/tasks$/, shares: { anonymous: 1 } },
}

test('every variant has a control, and its edits fit the source', async () => {
  expect(Object.keys(controls).toSorted()).toEqual(Object.keys(fuzzVariants).toSorted())
  const edits = Object.values(fuzzVariants).flat()
  const found = await Promise.all(
    edits.map(async ({ file, from }) => ({
      file,
      from,
      times: (await Bun.file(join(import.meta.dir, '..', '..', 'src', file)).text()).split(from).length - 1,
    })),
  )
  expect(found.filter(({ times }) => times !== 1)).toEqual([])
})

test.each(Object.entries(controls))(
  'detected: %s',
  async (variant, options) => {
    await using server = await start(variantEnvironment(variant))
    const result = await run(server, { requests: 150, ...options })
    expect(result.violations.length).toBeGreaterThan(0)
    if (variant === 'unknown members that are ignored')
      expect((await checkAfter(world.server.deps.db, result)).join()).toContain('the refused request')
  },
  120_000,
)
