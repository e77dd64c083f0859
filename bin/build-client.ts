// The client as a package for npm: JavaScript that any bundler, browser, Bun or Node takes, declarations beside it,
// its README and licence. Written to `dist/client` (or the folder given); `npm publish` runs there.
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { declareModel } from './client-types.ts'
import rootPackage from '../package.json' with { type: 'json' }
import sourcePackage from '../packages/client/package.json' with { type: 'json' }

const root = resolve(import.meta.dir, '..')
const home = join(root, 'packages', 'client')
const source = join(home, 'src')
const out = resolve(process.argv[2] ?? join(root, 'dist', 'client'))
const entries = Object.entries(sourcePackage.exports)
const entryFiles = entries.map(([, file]) => join(home, file))

/** Types of the client that programs name, besides those of its model. */
const named = {
  'connection/connection': 'ConnectionState, ConnectionStatus',
  'connection/frames': 'Event',
  'connection/presence': 'Presence',
  'connection/transport': 'Subscribed',
  'events/event-feed': 'EventFeed',
  'events/feed-listener': 'FeedListener, Gap',
  'http/pages': 'List, Page',
  'http/problem': 'ErrorCode, Problem',
  'http/rest': 'TaskQuery',
  'outbox/outbox': 'OutboxStorage',
  'outbox/outbox-entry': 'Write',
  'outbox/overlay': 'PendingWrite',
  'outbox/send-write': 'Conflict, ConflictRule, Resolution',
  session: 'Tokens, TokenStorage',
  'views/persisted-views': 'ViewStorage',
  'views/project-view': 'ProjectState, ProjectView',
  'views/replica': 'LiveState',
  'views/user-view': 'UserState, UserView',
}

/** `./src/client.ts` → `client` */
const stem = (file: string): string => file.slice('./src/'.length, -'.ts'.length)

const writeScripts = async (): Promise<void> => {
  const { success, logs } = await Bun.build({
    entrypoints: entryFiles,
    outdir: out,
    format: 'esm',
    target: 'browser',
    splitting: true,
    naming: { chunk: 'chunks/[hash].[ext]' },
  })
  if (!success) throw new AggregateError(logs, 'the client does not bundle')
  // What a program needs beside the client: its errors, the very classes that it throws.
  await Bun.write(join(out, 'main.js'), "export * from './client.js'\nexport * from './errors.js'\n")
}

/**
 * The client's types reach into the model's, which are schemas there and plain types here: it is compiled once more,
 * on top of those.
 */
const writeTypes = async (): Promise<void> => {
  const sources = await mkdtemp(join(tmpdir(), 'tide-client-types-')) // below node_modules nothing is compiled
  const needed = new Map<string, Set<string>>()
  for await (const file of new Bun.Glob('**/*.ts').scan(source)) {
    const text = await Bun.file(join(source, file)).text()
    for (const [, names, module] of text.matchAll(fromModel)) note(needed, module!, names!)
    const up = '../'.repeat(file.split('/').length)
    await Bun.write(
      join(sources, 'client', file),
      text
        .replaceAll(fromModel, `import type {$1} from '${up}model.ts'`)
        .replaceAll(/'(?:\.\.\/)+src\/model\/([\w-]+\.ts)'/g, `'${up}model/$1'`),
    )
  }
  await Bun.write(join(sources, 'model.ts'), await declareModel(needed))
  for (const file of bundled) await cp(join(root, 'src', 'model', file), join(sources, 'model', file))
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: '.',
    outDir: join(out, 'types'),
    typeRoots: [join(root, 'node_modules')],
  }
  const files = entries.map(([, file]) => join(sources, 'client', `${stem(file)}.ts`))
  const config = { extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files }
  await Bun.write(join(sources, 'package.json'), '{ "type": "module" }')
  await Bun.write(join(sources, 'tsconfig.json'), JSON.stringify(config))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const child = Bun.spawn([process.execPath, compiler, '-p', sources], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if ((await child.exited) !== 0) throw new Error('the declarations cannot be made')
  await rm(sources, { recursive: true })
  for await (const file of new Bun.Glob('types/**/*.d.ts').scan({ cwd: out, absolute: true }))
    await Bun.write(file, published(await Bun.file(file).text()))
  const lines = Object.entries(named).map(
    ([file, names]) => `export type { ${names} } from './client/${file}.js'`,
  )
  const main = [
    "export * from './client/client.js'",
    "export * from './client/errors.js'",
    "export type * from './model.js'",
    ...lines,
  ]
  await Bun.write(join(out, 'types', 'main.d.ts'), `${main.join('\n')}\n`)
}

/** Of the model, what the client runs: the other files are only types to it. */
const bundled = ['task-fields.ts', 'text-form.ts']

const fromModel = /import type \{([^}]*)\} from '(?:\.\.\/)+src\/model\/([\w-]+)\.ts'/g

const note = (needed: Map<string, Set<string>>, module: string, names: string): void => {
  const known = needed.get(module) ?? new Set()
  needed.set(module, known)
  for (const name of names.split(',')) if (name.trim()) known.add(name.trim().split(' ')[0]!)
}

const published = (text: string): string => {
  const linked = text.replaceAll(/((?:from|import\()\s*['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2')
  // Not in every project's `lib` yet.
  const isNew = /Disposable|Symbol\.dispose/.test(linked)
  return isNew ? `/// <reference lib="esnext.disposable" />\n${linked}` : linked
}

const writePackage = async (): Promise<void> => {
  const exports = Object.fromEntries(
    entries.map(([name, file]) => [
      name,
      {
        types: name === '.' ? './types/main.d.ts' : `./types/client/${stem(file)}.d.ts`,
        default: name === '.' ? './main.js' : `./${stem(file)}.js`,
      },
    ]),
  )
  // The scripts work in a checkout only.
  const { scripts: _scripts, ...published } = sourcePackage
  const made = {
    ...published,
    version: rootPackage.version,
    exports,
  }
  await Bun.write(join(out, 'package.json'), `${JSON.stringify(made, null, 2)}\n`)
  for (const name of ['README.md', 'api.md', 'endpoints.md']) await cp(join(home, name), join(out, name))
  await cp(join(root, 'LICENSE'), join(out, 'LICENSE'))
}

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
await writeScripts()
await writeTypes()
await writePackage()
console.log(`Built ${sourcePackage.name} ${rootPackage.version} in ${out}`)
