// The client as an npm package: built, installed in another project, type-checked there with all strict options, and run.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeApi } from '../../bin/client-api.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

const root = join(import.meta.dir, '..', '..')
const folder = mkdtempSync(join(tmpdir(), 'tide-package-'))
const installed = join(folder, 'node_modules', '@tasktide', 'client')
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
  expect(await run([join(root, 'bin', 'build-client.ts'), installed], root)).toMatchObject({ code: 0 })
  await Bun.write(join(folder, 'package.json'), '{ "type": "module" }')
  await Bun.write(
    join(folder, 'main.ts'),
    `import { createClient } from '@tasktide/client'
     import type { Conflict, LiveState, ProjectView, Task, Write } from '@tasktide/client'
     import { ConflictError } from '@tasktide/client'
     import * as main from '@tasktide/client'
     import * as errors from '@tasktide/client/errors'
     import type { ErrorCode, Problem, StopReason } from '@tasktide/client'
     const reason: StopReason = 'origin_refused'
     const explain = (problem: Problem): ErrorCode => problem.code
     void [reason, explain]
     const exported: Record<string, unknown> = { ...main }
     const missing = Object.entries(errors).filter(([name, value]) => exported[name] !== value).map(([name]) => name)
     import { memoryStorage } from '@tasktide/client/memory-storage'
     const [url, email, password] = process.argv.slice(2) as [string, string, string]
     const client = createClient({ url, outbox: memoryStorage() })
     await client.auth.signIn({ email, password })
     const task = await client.tasks.create({ title: 'From a package' })
     const title: string = task.title
     // @ts-expect-error a task has no such field
     void task.nothing
     const show = (view: ProjectView): [readonly Task[], LiveState] => [view.current.tasks, view.state]
     const finish = (view: ProjectView, { id }: Task): Write => view.update(id, { status: 'done' })
     const rule = ({ write, theirs }: Conflict) => (write.before.title === theirs.title ? 'mine' : 'theirs')
     void [show, finish, rule]
     const refused = await client.tasks.update(task.id, { title: 'Later' }, { ifVersion: 99 }).catch((error: unknown) => error)
     console.log(JSON.stringify({ title, isConflict: refused instanceof ConflictError, missing }))
     client.close()`,
  )
}, 60_000)

afterAll(async () => {
  await world[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const faultsOf = async (files: string[], options: object): Promise<string[]> => {
  const compilerOptions = {
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
    target: 'ES2022',
    allowImportingTsExtensions: true,
    ...options,
  }
  const config = join(folder, `${crypto.randomUUID()}.json`)
  await Bun.write(config, JSON.stringify({ compilerOptions, files }))
  const { output } = await run([join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', config])
  // Errors in declarations of the runtime are not ours.
  return output
    .split('\n')
    .filter((line) => /error TS/.test(line) && !/node_modules\/(bun-types|@types)/.test(line))
}

for (const [kind, options] of Object.entries({
  'a page': { module: 'ESNext', moduleResolution: 'bundler', lib: ['ES2022', 'DOM'] },
  'a program for Node or Bun': {
    module: 'NodeNext',
    moduleResolution: 'NodeNext',
    lib: ['ES2022'],
    types: ['bun-types'],
    typeRoots: [join(root, 'node_modules')],
  },
})) {
  test(`its declarations compile alone in ${kind} with all strict options`, async () => {
    await Bun.write(
      join(folder, 'page.ts'),
      (await Bun.file(join(folder, 'main.ts')).text()).replace('process.argv.slice(2) as', "['', '', ''] as"),
    )
    const files = [kind === 'a page' ? 'page.ts' : 'main.ts']
    expect(await faultsOf(files, options)).toEqual([])
  }, 60_000)
}

test('its types are those of the schemas', async () => {
  const declared = readFileSync(join(installed, 'types', 'model.d.ts'), 'utf8')
  const names = [...declared.matchAll(/^export (?:interface|type) (\w+)/gm)].map(([, name]) => name!)
  expect(names.length).toBeGreaterThan(25)
  const modules = readdirSync(join(root, 'src', 'model')).map((file) => join(root, 'src', 'model', file))
  const lines = modules.flatMap((path, index) => {
    const text = readFileSync(path, 'utf8')
    const own = names.filter((name) => new RegExp(`^export type ${name}\\b`, 'm').test(text))
    if (own.length === 0) return []
    return [
      `import type * as m${index} from '${path}'`,
      ...own.map((name) => `export const ${name}: Same<m${index}.${name}, d.${name}> = true`),
    ]
  })
  expect(lines.filter((line) => line.startsWith('export')).length).toBe(names.length)
  const same = 'type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false'
  const path = join(folder, 'same.ts')
  await Bun.write(
    path,
    [`import type * as d from '${join(installed, 'types', 'model.d.ts')}'`, same, ...lines].join('\n'),
  )
  const options = {
    module: 'ESNext',
    moduleResolution: 'bundler',
    lib: ['ESNext'],
    types: ['bun-types'],
    typeRoots: [join(root, 'node_modules')],
  }
  expect(await faultsOf([path], options)).toEqual([])
}, 60_000)

test('its public API equals api.md: a change of it changes that file', async () => {
  const recorded = readFileSync(join(root, 'packages', 'client', 'api.md'), 'utf8')
  expect(await describeApi(join(installed, 'types'))).toBe(recorded)
  expect(recorded).toContain('export declare const createClient: (options: ClientOptions) => Client')
  expect(recorded).not.toMatch(/#private|private readonly|HttpClient/)
})

test('it depends on nothing', async () => {
  const { dependencies, peerDependencies } = await Bun.file(join(installed, 'package.json')).json()
  expect([dependencies, peerDependencies]).toEqual([undefined, undefined])
  const faults: string[] = []
  for await (const file of new Bun.Glob('**/*.{js,d.ts}').scan({ cwd: installed }))
    for (const [, name] of (await Bun.file(join(installed, file)).text()).matchAll(
      /(?:from|import\()\s*['"]([^'"]+)['"]/g,
    ))
      if (!name!.startsWith('.')) faults.push(`${file}: ${name}`)
  expect(faults).toEqual([])
})

test('its README states its size', async () => {
  const { outputs } = await Bun.build({
    entrypoints: [join(installed, 'client.js')],
    minify: true,
    target: 'browser',
  })
  const kilobytes = Bun.gzipSync(await outputs[0]!.arrayBuffer(), { level: 9 }).length / 1000
  const stated = Number(
    /about (\d+) KB minified and compressed/.exec(readFileSync(join(installed, 'README.md'), 'utf8'))![1],
  )
  expect(Math.abs(stated - kilobytes)).toBeLessThan(1)
})

test('it runs from node_modules', async () => {
  const ada = await world.register('Ada')
  const { code, output } = await run(['main.ts', world.url, ada.email, testPassword])
  expect({ code, output: output.trim() }).toEqual({
    code: 0,
    output: JSON.stringify({ title: 'From a package', isConflict: true, missing: [] }),
  })
}, 30_000)

/** The shell commands of the README's section about installing it, one block for the checkout and one for a project. */
const installCommands = (): string[] => {
  const readme = readFileSync(join(root, 'packages', 'client', 'README.md'), 'utf8')
  const section = readme.split(/^## /m).find((text) => text.startsWith('Install'))!
  return [...section.matchAll(/```sh\n(.*?)```/gs)].map(([, block]) => block!)
}

test('the commands in its README build it in a checkout and install it in a project', async () => {
  const npm = Bun.which('npm')
  if (!npm) return console.log('There is no npm on this machine: nothing to check here')
  const place = join(folder, 'readme')
  const [checkout, app] = [join(place, 'tasktide'), join(place, 'app')]
  mkdirSync(app, { recursive: true })
  mkdirSync(join(checkout, 'tools'), { recursive: true })
  for (const name of [
    'bin',
    'src',
    'packages',
    'package.json',
    'bun.lock',
    'tsconfig.json',
    'LICENSE',
    'patches',
  ])
    cpSync(join(root, name), join(checkout, name), { recursive: true })
  for (const name of ['node_modules', join('tools', 'bun')])
    if (existsSync(join(root, name))) symlinkSync(join(root, name), join(checkout, name))
  writeFileSync(join(app, 'package.json'), '{ "type": "module", "private": true }')
  const [build, install, ...others] = installCommands()
  expect(others).toEqual([])
  // The package has no dependencies: no request is sent to a registry.
  const env = {
    ...process.env,
    npm_config_offline: 'true',
    npm_config_audit: 'false',
    npm_config_fund: 'false',
  }
  for (const [script, cwd] of [
    [build!, checkout],
    [install!, app],
  ] as const) {
    const child = Bun.spawn(['sh', '-euc', script], { cwd, env, stdout: 'pipe', stderr: 'pipe' })
    const [code, output, faults] = await Promise.all([
      child.exited,
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ])
    expect({ code, output: code === 0 ? '' : output + faults }).toEqual({ code: 0, output: '' })
  }
  await Bun.write(
    join(app, 'main.js'),
    "import { ConflictError, createClient } from '@tasktide/client'\nconsole.log(typeof createClient, typeof ConflictError)",
  )
  expect(await run(['main.js'], app)).toEqual({ code: 0, output: 'function function\n' })
}, 120_000)
