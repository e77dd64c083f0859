// The public API of the client package as text, so that a change of it is visible in a diff: every declaration that a
// program can reach from the package's entry points, without comments, private members and constructors of types that
// are not exported as values. `--write` updates packages/client/api.md, otherwise the file is compared.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

interface Target {
  file: string
  name: string
}

interface Module {
  /** Local names by where they come from. */
  imports: Map<string, Target>
  declarations: Map<string, string>
}

const root = resolve(import.meta.dir, '..')
const snapshot = join(root, 'packages', 'client', 'api.md')
const intro = `# The client's public API

Written by \`npm run api:client\`; \`npm run check\` fails where it is out of date. Every declaration that programs can reach from the entry points of the package is here.
`

/** @param types the folder of declarations in a built package. */
export const describeApi = async (types: string): Promise<string> => {
  const modules = new Map<string, Module>()
  const load = async (file: string): Promise<Module> => {
    const known = modules.get(file)
    if (known) return known
    const module = parse(file, await Bun.file(file).text())
    modules.set(file, module)
    return module
  }
  const entries = ['client/client', 'client/errors', 'client/indexed-db-storage', 'client/memory-storage']
  const waiting: Target[] = await exportsOf(join(types, 'main.d.ts'), load)
  for (const entry of entries) waiting.push(...(await exportsOf(join(types, `${entry}.d.ts`), load)))
  const found = new Map<string, string>()
  for (const { file, name } of waiting) {
    const { declarations, imports } = await load(file)
    const text = declarations.get(name)
    const key = `${file.slice(types.length + 1)} ${name}`
    if (text === undefined || found.has(key)) continue
    found.set(key, text)
    for (const [, word] of text.matchAll(/\b([A-Za-z_]\w*)\b/g)) {
      const imported = imports.get(word!)
      if (imported) waiting.push(imported) // grows while it is read
      else if (declarations.has(word!)) waiting.push({ file, name: word! })
    }
  }
  const files = Map.groupBy([...found].toSorted(byKey), ([key]) => key.split(' ')[0]!)
  const sections = [...files].map(
    ([file, texts]) =>
      `## ${file.replace(/\.d\.ts$/, '')}\n\`\`\`ts\n${texts.map(([, text]) => text).join('\n')}\n\`\`\`\n`,
  )
  return [intro, ...sections].join('\n')
}

const byKey = ([a]: [string, string], [b]: [string, string]): number => (a < b ? -1 : a > b ? 1 : 0)

const parse = (file: string, text: string): Module => {
  const plain = text.replaceAll(/^\s*\/\*\*[\s\S]*?\*\/\n?/gm, '').replaceAll(/^\/\/\/.*\n/gm, '')
  const module: Module = { imports: new Map(), declarations: new Map() }
  for (const [, names, from] of plain.matchAll(/^import (?:type )?\{([^}]*)\} from '([^']+)'/gm))
    for (const one of names!.split(',')) {
      const [original, , local = original] = one
        .trim()
        .replace(/^type /, '')
        .split(' ')
      if (original)
        module.imports.set(local!, { file: join(dirname(file), declarationsOf(from!)), name: original })
    }
  for (const statement of plain.split(/^(?=(?:export|declare|interface|type|import)\b)/m)) {
    const head = /^(?:export )?(?:declare )?(?:class|interface|type|const|function) (\w+)/.exec(statement)
    if (head) module.declarations.set(head[1]!, published(statement.trim()))
  }
  return module
}

const declarationsOf = (specifier: string): string => specifier.replace(/\.js$/, '.d.ts')

/** Without what programs cannot use. Errors are exported as classes: programs may construct them. */
const published = (statement: string): string =>
  statement
    .replaceAll(/^\s+(?:#private|private ).*\n/gm, '')
    .replaceAll(/^(?!.*extends \w*Error)(.*\bclass [\s\S]*?)^ {4}constructor\([\s\S]*?\);\n/gm, '$1')
    .replace(/(createRest: )\([^)]*\)/, '$1()')

const exportsOf = async (file: string, load: (file: string) => Promise<Module>): Promise<Target[]> => {
  const text = await Bun.file(file).text()
  const own = [...text.matchAll(/^export (?:declare )?(?:class|interface|type|const|function) (\w+)/gm)]
  const found: Target[] = own.map(([, name]) => ({ file, name: name! }))
  for (const [, names, from] of text.matchAll(/^export (?:type )?(\*|\{[^}]*\}) from '([^']+)'/gm)) {
    const other = join(dirname(file), declarationsOf(from!))
    const { declarations } = await load(other)
    const wanted = names === '*' ? [...declarations.keys()] : names!.match(/\w+/g)!
    for (const name of wanted) found.push({ file: other, name })
  }
  return found
}

/** Builds the package in a folder of its own and describes it. */
const describeBuilt = async (): Promise<string> => {
  const out = await mkdtemp(join(tmpdir(), 'tide-client-api-'))
  try {
    const child = Bun.spawn([process.execPath, join(root, 'bin', 'build-client.ts'), out], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if ((await child.exited) !== 0) throw new Error('the client cannot be built')
    return await describeApi(join(out, 'types'))
  } finally {
    await rm(out, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const current = await describeBuilt()
  if (process.argv.includes('--write')) await Bun.write(snapshot, current)
  else if (
    current !==
    (await Bun.file(snapshot)
      .text()
      .catch(() => ''))
  ) {
    console.error('packages/client/api.md is out of date: run `npm run api:client` and review the change.')
    process.exit(1)
  }
}
