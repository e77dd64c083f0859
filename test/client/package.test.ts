// The client as npm would deliver it: built, installed in a stranger's project, type-checked there with everything
// strict, and run.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startWorld, testPassword, type World } from '../support/world.ts'

const root = join(import.meta.dir, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'tide-package-'))
let world: World

const run = async (args: string[], cwd = folder): Promise<{ code: number; output: string }> => {
  const child = Bun.spawn([process.execPath, ...args], { cwd, stdout: 'pipe', stderr: 'pipe' })
  const [out, faults] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { code: await child.exited, output: out + faults }
}

beforeAll(async () => {
  world = await startWorld()
  const installed = join(folder, 'node_modules', '@tasktide', 'client')
  mkdirSync(join(folder, 'node_modules', '@sinclair'), { recursive: true })
  symlinkSync(
    join(root, 'node_modules', '@sinclair', 'typebox'),
    join(folder, 'node_modules', '@sinclair', 'typebox'),
  )
  expect(await run([join(root, 'bin', 'build-client.ts'), installed], root)).toMatchObject({ code: 0 })
  await Bun.write(join(folder, 'package.json'), '{ "type": "module" }')
  await Bun.write(
    join(folder, 'main.ts'),
    `import { createClient } from '@tasktide/client'
     import { ConflictError } from '@tasktide/client/errors'
     import { memoryStorage } from '@tasktide/client/memory-storage'
     const [url, email, password] = process.argv.slice(2) as [string, string, string]
     const client = createClient({ url, outbox: memoryStorage() })
     await client.auth.signIn({ email, password })
     const task = await client.tasks.create({ title: 'From a package' })
     const title: string = task.title
     // @ts-expect-error a task has no such field
     void task.nothing
     const refused = await client.tasks.update(task.id, { title: 'Later' }, { ifVersion: 99 }).catch((error: unknown) => error)
     console.log(JSON.stringify({ title, isConflict: refused instanceof ConflictError }))
     client.close()`,
  )
}, 60_000)

afterAll(async () => {
  await world[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

test('its declarations stand alone in a strict project', async () => {
  const compilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    target: 'ESNext',
    module: 'ESNext',
    moduleResolution: 'bundler',
    lib: ['ESNext', 'DOM', 'DOM.Iterable'],
    types: ['bun-types'],
    typeRoots: [join(root, 'node_modules')],
  }
  const files = ['main.ts']
  await Bun.write(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, files }))
  const { code, output } = await run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', folder])
  // The runtime's own declarations are not ours to judge.
  const ours = output
    .split('\n')
    .filter((line) => /error TS/.test(line) && !/node_modules\/(bun-types|@types)/.test(line))
  expect(ours).toEqual([])
  expect([0, 1, 2]).toContain(code)
}, 60_000)

test('it runs from node_modules', async () => {
  const ada = await world.register('Ada')
  const { code, output } = await run(['main.ts', world.url, ada.email, testPassword])
  expect({ code, output: output.trim() }).toEqual({
    code: 0,
    output: JSON.stringify({ title: 'From a package', isConflict: true }),
  })
}, 30_000)
