// The migration files of a folder as text: NNNN_noun.sql. Invariant: imports nothing of the program, because the
// bundler also runs it, as the macro of embedded-migrations.ts.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export interface MigrationText {
  /** `NNNN_noun.sql`. */
  file: string
  text: string
}

const fileName = /^\d{4}_[a-z0-9_]+\.sql$/
const ownFolder = join(import.meta.dir, '../../../sql')

/** In no order. @param folder by default the one of the program. */
export const readTexts = async (folder = ownFolder): Promise<MigrationText[]> => {
  const files = (await readdir(folder)).filter((file) => fileName.test(file))
  return Promise.all(files.map(async (file) => ({ file, text: await Bun.file(join(folder, file)).text() })))
}
