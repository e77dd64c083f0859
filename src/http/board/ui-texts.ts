// The files of the board's page, from its package. Invariant: imports nothing of the program, because the bundler also
// runs it, as the macro of embedded-ui.ts.
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'

const types: Record<string, string> = {
  css: 'text/css; charset=utf-8',
  ico: 'image/x-icon',
  js: 'text/javascript; charset=utf-8',
  json: 'application/json; charset=utf-8',
  png: 'image/png',
  svg: 'image/svg+xml',
}

export interface UiFile {
  /** Below `static/`. */
  path: string
  type: string
  base64: string
}

export interface Ui {
  /** Scripts and style sheets that the page loads, below `static/`, in order. */
  scripts: string[]
  styles: string[]
  files: UiFile[]
}

export const readUi = async (): Promise<Ui> => {
  const dist = join(dirname(Bun.resolveSync('@bull-board/ui/package.json', import.meta.dir)), 'dist')
  const page = await Bun.file(join(dist, 'index.ejs')).text()
  const paths = (await readdir(join(dist, 'static'), { recursive: true })).filter(
    (path) => typeOf(path) !== undefined,
  )
  const files = paths.map(async (path) => ({
    path,
    type: typeOf(path)!,
    base64: Buffer.from(await Bun.file(join(dist, 'static', path)).arrayBuffer()).toString('base64'),
  }))
  const namesIn = (pattern: RegExp): string[] => [...page.matchAll(pattern)].map(([, name]) => name!)
  return {
    scripts: namesIn(/<script[^>]* src="static\/([^"]+)"/g),
    styles: namesIn(/<link[^>]* href="static\/([^"]+\.css)"/g),
    files: await Promise.all(files),
  }
}

const typeOf = (path: string): string | undefined => types[/\.([a-z]+)$/.exec(path)?.[1] ?? '']
