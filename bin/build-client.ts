// The client as a package for npm: JavaScript that any bundler, browser, Bun or Node takes, declarations beside it,
// its README and licence. Written anew below `dist/client` (or the folder given); `npm publish` runs there.
import { cp, mkdir, rm } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import rootPackage from '../package.json' with { type: 'json' }
import sourcePackage from '../src/client/package.json' with { type: 'json' }

const root = resolve(import.meta.dir, '..')
const source = join(root, 'src', 'client')
const out = resolve(process.argv[2] ?? join(root, 'dist', 'client'))
const entries = Object.entries(sourcePackage.exports)
const entryFiles = entries.map(([, file]) => join(source, file))

/** `./client.ts` → `client` */
const stem = (file: string): string => file.slice('./'.length, -'.ts'.length)

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
}

/** The client's types reach into the model's, and those into TypeBox, which the package therefore depends on. */
const writeTypes = async (): Promise<void> => {
  const config = join(out, 'tsconfig.json')
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    rootDir: join(root, 'src'),
    outDir: join(out, 'types'),
    typeRoots: [join(root, 'node_modules')],
  }
  await Bun.write(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files: entryFiles }),
  )
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const child = Bun.spawn([process.execPath, compiler, '-p', config], {
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if ((await child.exited) !== 0) throw new Error('the declarations cannot be made')
  await rm(config)
  for await (const file of new Bun.Glob('types/**/*.d.ts').scan({ cwd: out, absolute: true })) {
    const text = await Bun.file(file).text()
    await Bun.write(file, text.replaceAll(/((?:from|import\()\s*['"]\.[^'"]*)\.ts(['"])/g, '$1.js$2'))
  }
}

const writePackage = async (): Promise<void> => {
  const exports = Object.fromEntries(
    entries.map(([name, file]) => [
      name,
      { types: `./types/client/${stem(file)}.d.ts`, default: `./${stem(file)}.js` },
    ]),
  )
  const made = {
    ...sourcePackage,
    version: rootPackage.version,
    exports,
    dependencies: { '@sinclair/typebox': rootPackage.dependencies['@sinclair/typebox'] },
  }
  await Bun.write(join(out, 'package.json'), `${JSON.stringify(made, null, 2)}\n`)
  await cp(join(source, 'README.md'), join(out, 'README.md'))
  await cp(join(root, 'LICENSE'), join(out, 'LICENSE'))
}

await rm(out, { recursive: true, force: true })
await mkdir(out, { recursive: true })
await writeScripts()
await writeTypes()
await writePackage()
console.log(`Built ${sourcePackage.name} ${rootPackage.version} in ${out}`)
