// The migrations of the program: sql/NNNN_noun.sql from disk, or from the inside of the single executable. Invariant: a
// checksum does not depend on how a checkout ends its lines.
import { isExecutable } from '../../start/executable.ts'
import { readTexts } from './migration-texts.ts'

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

/** A line of its own among the comments at the top. */
const phaseLine = /^-- phase: (expand|contract)\n/m

/** By version. @throws Error when two files have one number. */
export const readMigrations = async (folder?: string): Promise<Migration[]> => {
  const isEmbedded = isExecutable && folder === undefined
  const texts = isEmbedded
    ? (await import('./embedded-migrations.ts')).embeddedTexts
    : await readTexts(folder)
  const migrations = texts.map(({ file, text }) => migrationOf(file, text))
  migrations.sort((a, b) => a.version - b.version)
  const twice = migrations.find(({ version }, index) => migrations[index + 1]?.version === version)
  if (twice) throw new Error(`Two migrations have the number of ${twice.name}`)
  return migrations
}

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
