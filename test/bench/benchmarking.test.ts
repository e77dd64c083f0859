// The commands of docs/benchmarking.md work when pasted, with shorter loads: every request succeeds. How fast
// it is plays no part.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { settingNames } from '../../src/config.ts'
import { seedDemo } from '../../src/domain/seed.ts'
import { startWorld, type World } from '../support/world.ts'

const root = join(import.meta.dir, '..', '..')
const text = await Bun.file(join(root, 'docs', 'benchmarking.md')).text()
const blocks = [...text.matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block!)
const token = blocks.find((block) => block.includes('TOKEN=$('))!

let world: World

beforeAll(async () => {
  world = await startWorld()
  await seedDemo(world.server.deps)
}, 30_000)

afterAll(() => world[Symbol.asyncDispose](), 20_000)

/** The block as it is pasted after that of the token, against the world, for a second. */
const paste = async (block: string): Promise<string> => {
  const script = `${token}\n${block}`
    .replaceAll('http://127.0.0.1:3000', world.url)
    .replaceAll('-d 10', '-d 1')
    .replaceAll('bun run bench --', `${process.execPath} ${join(root, 'bench', 'main.ts')}`)
    .replaceAll('--quick', `--quick --rounds 1 --only me --out ${join(tmpdir(), 'bench-report')}`)
  const child = Bun.spawn(['sh', '-eu', '-c', script], { cwd: root, stdout: 'pipe', stderr: 'pipe' })
  const [output, progress, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  expect({ code, progress: code === 0 ? '' : progress }).toEqual({ code: 0, progress: '' })
  return output + progress
}

const loads = blocks.filter((block) => block.includes('autocannon'))

test('the document has loads of reads and writes', () => {
  expect(loads.some((block) => block.includes('-m POST'))).toBe(true)
  expect(loads.length).toBeGreaterThanOrEqual(2)
})

for (const [index, block] of loads.entries())
  test(`autocannon block ${index + 1} succeeds with every request`, async () => {
    const output = await paste(block)
    expect(output).toMatch(/requests in [\d.]+s/)
    expect(output).not.toMatch(/non 2xx|[1-9]\d* errors|timeouts\)/)
  }, 60_000)

test('the bench against a running installation reads without writing', async () => {
  // The loads above may still be written when they have ended.
  const others = () =>
    world.server.deps.db.read(
      (sql) => sql`select type, scope from feed where frame is null or frame not like '%From autocannon%'`,
    )
  const before = await others()
  const output = await paste(blocks.find((block) => block.includes('--against'))!)
  expect(output).toContain('`me`')
  expect([...(await others())]).toEqual([...before])
}, 60_000)

test('every setting that the document names exists', () => {
  const named = [...text.matchAll(/\b([A-Z]{3,}(?:_[A-Z]+)+)\b/g)].map(([, name]) => name!)
  expect(named.length).toBeGreaterThan(3)
  expect(named.filter((name) => !settingNames.includes(name))).toEqual([])
})
