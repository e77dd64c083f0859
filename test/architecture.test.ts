// The import table and the other rules of the house, executed. A file that breaks one is named with what it does.
import { expect, test } from 'bun:test'
import { Glob } from 'bun'
import { dirname, join } from 'node:path'
import manifest from '../package.json' with { type: 'json' }

const root = join(import.meta.dir, '..')

interface Source {
  path: string
  text: string
  lines: number
}

interface Import {
  from: string
  to: string
  isType: boolean
  /** Loaded when the call runs, not with the file. */
  isDynamic: boolean
}

const read = async (...patterns: string[]): Promise<Source[]> => {
  const sources: Source[] = []
  for (const pattern of patterns) {
    for await (const path of new Glob(pattern).scan({ cwd: root, dot: true })) {
      if (/(?:^|\/)(?:node_modules|\.data|\.git|results)\//.test(path)) continue
      const text = await Bun.file(join(root, path)).text()
      sources.push({ path, text, lines: text.trimEnd().split('\n').length })
    }
  }
  return sources
}

const code = await read('{src,packages,web,dev,test,bench,bin}/**/*.ts')
const inSource = code.filter(({ path }) => path.startsWith('src/'))

/** Relative specifiers as paths from the root, others as they are. */
const importsOf = ({ path, text }: Source): Import[] =>
  [
    ...text.matchAll(
      /^(?:import|export)\s+(type\s)?[^'"\n;]*?(?:\{[^}]*\}\s*)?from\s+'([^']+)'|^import\s+'([^']+)'|\bimport\('([^']+)'\)/gm,
    ),
  ].map(([, isType, named, bare, dynamic]) => {
    const to = named ?? bare ?? dynamic!
    return {
      from: path,
      to: to.startsWith('.') ? join(dirname(path), to) : to,
      isType: isType !== undefined,
      isDynamic: dynamic !== undefined,
    }
  })

const imports = code.filter(({ path }) => /^(?:src|packages|web|dev)\//.test(path)).flatMap(importsOf)

/**
 * Layers from the bottom up: a part imports only parts of lines above its own, types included. Parts that do not exist
 * yet have their place already.
 */
const layers = [
  ['errors.ts', 'line-output.ts', 'settings'],
  ['log.ts', 'async', 'model'],
  ['config.ts'],
  ['start'],
  ['redis', 'metrics', 'tracing'],
  ['limits', 'queues'],
  ['db', 'storage', 'mail'],
  ['changelog'],
  ['auth'],
  ['domain'],
  ['http', 'ws', 'worker'],
  ['app'],
  ['cli'],
  ['main.ts'],
]

/** What the client package exports to programs. */
const clientEntries = new Set(['packages/client/src/client.ts', 'packages/client/src/errors.ts'])

const partOf = (path: string): string => path.split('/')[1]!
const rankOf = (part: string): number => layers.findIndex((layer) => layer.includes(part))

const described = ({ from, to }: Import): string => `${from} imports ${to}`
const breaking = (rule: (one: Import) => boolean): string[] => imports.filter(rule).map(described)
const naming = (sources: Source[], rule: (one: Source) => boolean): string[] =>
  sources.filter(rule).map(({ path }) => path)

test('Every part of src has a place in the import table', () => {
  const parts = new Set(inSource.map(({ path }) => partOf(path)))
  expect([...parts].filter((part) => rankOf(part) < 0)).toEqual([])
})

test('docs/architecture.md shows the same table', async () => {
  const text = await Bun.file(join(root, 'docs/architecture.md')).text()
  const section = text.split('## Layers')[1]!.split('\n## ')[0]!
  const rows = [...section.matchAll(/^\| [^|]+ \| (.+) \|$/gm)].map(([, parts]) =>
    parts!
      .replaceAll(/\([^)]*\)/g, '')
      .matchAll(/`([^`]+)`/g)
      .map(([, part]) => part)
      .toArray(),
  )
  expect(rows.slice(1).toReversed()).toEqual(layers) // the first row is the head, whose code is `src`
})

test('README.md has a row for every folder', async () => {
  const table = (await Bun.file(join(root, 'README.md')).text()).split('| Folder | Contents |')[1]!
  const named = table.split('\n\n')[0]!
  const folders = code
    .filter(({ path }) => path.split('/').length > (path.startsWith('src/') ? 2 : 1))
    .map(({ path }) =>
      path.startsWith('src/') ? path.split('/').slice(0, 2).join('/') : path.split('/')[0]!,
    )
  const missing = [...new Set(folders)].filter((folder) => !new RegExp(`\`${folder}[\`/]`).test(named))
  expect(missing).toEqual([])
})

test('Imports go down only, and the edges never see each other', () => {
  expect(imports.length).toBeGreaterThan(100) // or the pattern above reads nothing any more
  expect(
    breaking(({ from, to, isType }) => {
      if (!from.startsWith('src/')) return false
      if (/^(?:web|dev|test|bench|bin)\//.test(to)) return true
      // A command is a program like any other: it uses the published client, and nothing below the commands does.
      if (to.startsWith('packages/'))
        return !from.startsWith('src/cli/') || !(isType || clientEntries.has(to))
      if (!to.startsWith('src/')) return false
      const [upper, lower] = [partOf(from), partOf(to)]
      if (upper === lower) return false
      return rankOf(lower) >= rankOf(upper)
    }),
  ).toEqual([])
})

test('Production needs no development package', () => {
  const runs = imports.filter(({ from, isType }) => !isType && from.startsWith('src/'))
  const packages = runs
    .map(({ to }) => /^(?:@[^/]+\/)?[^/:]+/.exec(to)![0])
    .filter((name) => !['src', 'packages', 'package.json', 'node', 'bun'].includes(name))
  expect([...new Set(packages)].filter((name) => !(name in manifest.dependencies))).toEqual([])
})

test('No file imports itself through others, types included', () => {
  const below = Map.groupBy(imports, ({ from }) => from)
  const sound = new Set<string>()
  const circlesAt = (path: string, above: string[]): string[] => {
    if (above.includes(path)) return [[...above.slice(above.indexOf(path)), path].join(' → ')]
    if (sound.has(path)) return []
    const circles = (below.get(path) ?? []).flatMap(({ to }) => circlesAt(to, [...above, path]))
    if (circles.length === 0) sound.add(path)
    return circles
  }
  expect([...below.keys()].flatMap((path) => circlesAt(path, []))).toEqual([])
})

test('The live board stands on the client, and on shapes of the model', () => {
  expect(
    breaking(
      ({ from, to, isType }) =>
        from.startsWith('web/') &&
        !to.startsWith('web/') &&
        !to.startsWith('packages/client/src/') &&
        !(isType && to.startsWith('src/model/')),
    ),
  ).toEqual([])
})

test('The client runs nothing but itself, the description of task fields and the form of text', () => {
  const textForm = 'src/model/text-form.ts'
  const taskFields = 'src/model/task-fields.ts'
  const isShape = ({ to, isType }: Import) =>
    isType && (to.startsWith('src/model/') || to === '@sinclair/typebox')
  expect(
    breaking(
      (one) =>
        one.from.startsWith('packages/client/') &&
        !one.to.startsWith('packages/client/') &&
        one.to !== textForm &&
        one.to !== taskFields &&
        !isShape(one),
    ),
  ).toEqual([])
  expect(breaking(({ from, to }) => from === taskFields && to !== textForm)).toEqual([])
  expect(breaking(({ from }) => from === textForm)).toEqual([])
})

const homes: [string, RegExp, RegExp][] = [
  // A route that is registered on Elysia by another file would not pass through the pipeline.
  ['elysia', /^elysia(?:\/|$)/, /^src\/http\/(?:mount|errors)\.ts$/],
  ['its plugins', /^@elysiajs\//, /^src\/(?:http|auth)\//],
  ['the PostgreSQL driver', /^postgres(?:\/|$)/, /^(?:src\/db|dev)\//],
  ['the Redis driver', /^ioredis(?:\/|$)/, /^src\/redis\//],
  ['the job queue', /^bullmq/, /^src\/(?:queues|worker\/jobs)\//],
  ['the mail library', /^nodemailer/, /^src\/mail\//],
  ['the board of the job queues', /^@bull-board\//, /^src\/http\/board\//],
  ['the S3 client', /^@(?:aws-sdk|smithy)\//, /^src\/storage\//],
  ['the metrics client', /^prom-client/, /^src\/metrics\//],
  ['the tracing library', /^@opentelemetry\//, /^src\/tracing\//],
  ['the logger', /^pino/, /^src\/log\.ts/],
]

for (const [what, specifier, home] of homes) {
  test(`Only its home imports ${what}`, () => {
    expect(breaking(({ from, to }) => specifier.test(to) && !home.test(from))).toEqual([])
  })
}

/** What the file loads before its first line runs: files of the project, and packages. */
const loadedWith = (entry: string): Set<string> => {
  const below = Map.groupBy(
    imports.filter(({ isType, isDynamic }) => !isType && !isDynamic),
    ({ from }) => from,
  )
  const loaded = new Set([entry])
  for (const path of loaded) for (const { to } of below.get(path) ?? []) loaded.add(to)
  return loaded
}

/** For few requests or mails each, megabytes and tens of milliseconds of every start: loaded on first use. */
const loadedLate =
  /^(?:@bull-board\/|@elysiajs\/swagger|@aws-sdk\/|@smithy\/|nodemailer|prom-client|file-type|@opentelemetry\/(?!api$))/

for (const [role, entry, others] of [
  ['The program', 'src/main.ts', /^(?:postgres|ioredis|bullmq|elysia|@|src\/(?:db|domain|http|ws|worker)\/)/],
  ['A server', 'src/app/compose.ts', /^(?:bullmq|src\/worker\/(?:runner|jobs|loops))/],
  ['A worker', 'src/app/compose-worker.ts', /^(?:elysia|@elysiajs\/|src\/(?:http|ws)\/)/],
] as const) {
  test(`${role} loads no code that it may never use`, () => {
    const loaded = loadedWith(entry)
    expect(loaded.size).toBeGreaterThan(5) // or the pattern above reads nothing any more
    expect([...loaded].filter((path) => loadedLate.test(path) || others.test(path))).toEqual([])
  })
}

test('The environment is read by configuration alone, which is handed it by main', () => {
  const reads = /\b(?:process|Bun|import\.meta)\.env\b/
  const outsideComments = ({ text }: Source) => text.replaceAll(/^\s*(?:\/\/|\*|\/\*\*).*$/gm, '')
  expect(
    naming(inSource, (source) => source.path !== 'src/main.ts' && reads.test(outsideComments(source))),
  ).toEqual([])
})

test('SQL text is a tagged template everywhere but in the runner of migrations', () => {
  expect(
    naming(
      code,
      ({ path, text }) =>
        /\.unsafe\(/.test(text) &&
        path !== 'src/db/migrations/migrate.ts' &&
        path !== 'test/architecture.test.ts',
    ),
  ).toEqual([])
  const statement = /\b(?:sql|tx)(?:<[^`]*>)?`/
  expect(
    naming(inSource, ({ path, text }) => statement.test(text) && !/^src\/(?:db|embedded)\//.test(path)),
  ).toEqual([])
})

test('Only what no request causes calls the database without a caller', () => {
  const serving = /^src\/(?:auth|domain|http|ws)\//
  const takesSystem = ({ path, text }: Source) =>
    serving.test(path) &&
    /\b(?:systemDb|systemCaller|systemActor|systemWrite)\b|\b(?:DatabaseCalls|Database)\b.*from '.*\/db\/client\.ts'/.test(
      text,
    )
  expect(naming(inSource, takesSystem).toSorted()).toEqual([
    'src/auth/authenticator.ts', // looks many sessions and tokens up by one statement
    'src/auth/touches.ts', // notes many sessions and tokens as seen by one statement
    'src/domain/attachments/verify.ts', // a job
    'src/domain/files/sweep.ts', // a job and a command
    'src/domain/users/links.ts', // the worker makes mails of them
    'src/domain/users/operator.ts', // commands
    'src/domain/write.ts', // the worker writes by it too
    'src/http/routes/health.ts', // two probes a second
    'src/ws/connection-handle.ts',
    'src/ws/sockets.ts', // after a new epoch, all sessions by one statement
  ])
})

/** Mechanisms that exist once: what gives them away in the text, and the files that have it. */
const singleMechanisms: [string, RegExp, string[]][] = [
  // The supervisor and the shutdown race events of processes, not timers.
  ['a time-out', /Promise\.race\(/, ['src/app/shutdown.ts', 'src/app/supervisor.ts', 'src/async/timeout.ts']],
  ['exponential back-off', /\* 2 \*\*/, ['src/async/back-off.ts']],
  ['dropping the oldest entry of a map', /\.(?:keys|entries)\(\)\.next\(\)/, []],
  // What a cache holds is found by its name: a scan takes as long as Redis is full.
  ['a scan of the keys of Redis', /\bredis\w*\.(?:keys|scan)\(|scanStream|'(?:KEYS|SCAN)'/i, []],
  ['the window of a rate limit', /windowSeconds: [\d_]+/, ['src/limits/policies.ts']],
  ['parsing of a bearer token', /Bearer \+/, ['src/auth/authenticator.ts']],
  ['parsing of a scope', /startsWith\('(?:project|task|user):/, ['src/model/scope.ts']],
  ['the form of an e-mail address', /mail\)*\.(?:trim\(\)\.)?toLowerCase\(/, ['src/model/text-form.ts']],
]

for (const [what, pattern, homes] of singleMechanisms) {
  test(`Only its home has ${what}`, () => {
    expect(naming(inSource, ({ text }) => pattern.test(text)).toSorted()).toEqual(homes)
  })
}

test('There are no barrels', () => {
  const isIndex = ({ path }: Source) => path.endsWith('/index.ts')
  const exportsOthers = ({ text }: Source) => /^export\s[^='"`]*from\s+'\./m.test(text)
  expect(naming(inSource, (source) => isIndex(source) || exportsOthers(source))).toEqual([])
})

test('No folder or file is named after nothing in particular', () => {
  const refused = /(?:^|\/)(?:utils?|lib|shared|common|helpers?|services?|misc|managers?)(?:\/|\.ts$)/
  expect(naming(code, ({ path }) => refused.test(path))).toEqual([])
  expect(naming(code, ({ path }) => !/^[a-z0-9/.-]+$/.test(path))).toEqual([])
})

test('Every file opens by saying what lives in it', () => {
  expect(naming(code, ({ text }) => !/^(?:#![^\n]*\n)?\/\/ \S/.test(text))).toEqual([])
})

test('Files stay small', () => {
  expect(naming(inSource, ({ lines }) => lines > 320)).toEqual([])
  expect(naming(inSource, ({ lines }) => lines > 250).length).toBeLessThanOrEqual(inSource.length / 20)
})

test('Nothing is exported by default but where a tool requires it', () => {
  expect(
    naming(inSource, ({ path, text }) => /^export default\b/m.test(text) && !path.endsWith('.d.ts')),
  ).toEqual([])
})

test('No test is skipped, left for later or alone', () => {
  expect(
    naming(code, ({ text }) => /\b(?:test|describe|it)\.(?:skip|todo|only|if|skipIf|todoIf)\b\(/.test(text)),
  ).toEqual([])
})

test('Tests do not sleep', () => {
  const sleeps = /\bBun\.sleep(?:Sync)?\(|\bawait (?:setTimeout|pause)\(/
  const isTest = ({ path }: Source) => path.endsWith('.test.ts') && path !== 'test/architecture.test.ts'
  const found = naming(code, (source) => isTest(source) && sleeps.test(source.text))
  expect(found).toEqual([])
})

test('No path of a developer’s machine is in the project', async () => {
  const everything = await read(
    '{src,test,bench,bin,tools,sql,docs,web,deploy,.github,.ci}/**/*.{ts,mjs,js,sql,md,yml,yaml,json,html,css,sh}',
    '*.{md,json,toml,yaml,yml}',
    'Dockerfile',
    '.ci/*',
  )
  const personal = /(?:^|[\s'"`(=:])\/(?:home|Users|root|work)\/(?!bun\b)\w/m
  expect(naming(everything, ({ text }) => personal.test(text))).toEqual([])
})
