// The migrations the program brings along: sql/NNNN_noun.sql, from disk or, in an executable made by
// `bun build --compile`, from its inside. A checksum ignores how a checkout ends its lines.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface Migration {
  version: number
  /** `NNNN_noun`. */
  name: string
  /** SHA-256 of the text without its phase, hexadecimal. */
  checksum: string
  /** `expand`: it only adds, so the version before it keeps running. `contract`, also where the file says nothing. */
  phase: 'expand' | 'contract'
  text: string
  /** False where the first line is `-- no transaction`. */
  inTransaction: boolean
}

const fileName = /^\d{4}_[a-z0-9_]+\.sql$/
/** A line of its own among the comments at the top. */
const phaseLine = /^-- phase: (expand|contract)\n/m
const ownFolder = join(import.meta.dir, '../../../sql')

/** By version. @throws Error when two files have one number. */
export const readMigrations = async (folder?: string): Promise<Migration[]> => {
  const inside = folder === undefined ? embedded() : []
  const files = inside.length > 0 ? inside : await onDisk(folder ?? ownFolder)
  const migrations = await Promise.all(files.map(async ({ name, read }) => migrationOf(name, await read())))
  migrations.sort((a, b) => a.version - b.version)
  const twice = migrations.find(({ version }, index) => migrations[index + 1]?.version === version)
  if (twice) throw new Error(`Two migrations have the number of ${twice.name}`)
  return migrations
}

interface Source {
  name: string
  read: () => Promise<string>
}

/** Needs the build to name its assets `[name].[ext]`. */
const embedded = (): Source[] =>
  Bun.embeddedFiles.flatMap((file) => {
    const path: unknown = Reflect.get(file, 'name')
    const name = typeof path === 'string' ? path.slice(path.lastIndexOf('/') + 1) : ''
    return fileName.test(name) ? [{ name, read: () => file.text() }] : []
  })

const onDisk = async (folder: string): Promise<Source[]> =>
  (await readdir(folder))
    .filter((name) => fileName.test(name))
    .map((name) => ({ name, read: () => Bun.file(join(folder, name)).text() }))

const migrationOf = (file: string, content: string): Migration => {
  const text = content.replaceAll('\r\n', '\n')
  const phase = phaseLine.exec(text)?.[1] === 'expand' ? 'expand' : 'contract'
  // The phase is left out, so that one which was applied can still be marked.
  const checksum = new Bun.CryptoHasher('sha256').update(text.replace(phaseLine, '')).digest('hex')
  return {
    version: Number(file.slice(0, 4)),
    name: file.slice(0, -'.sql'.length),
    checksum,
    phase,
    text,
    inTransaction: !text.startsWith('-- no transaction\n'),
  }
}
