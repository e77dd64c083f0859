// The files of the live board, from their source in web/board. Invariant: imports nothing of the program, because the
// bundler also runs it, as the macro of embedded-files.ts; there it may not bundle itself, so a process of its own does.
import { join } from 'node:path'

export interface LiveBoardFiles {
  html: string
  css: string
  /** With the client inside, minified. */
  js: string
}

const folder = join(import.meta.dir, '..', '..', '..', 'web', 'board')

export const readLiveBoard = async (): Promise<LiveBoardFiles> => {
  const [html, css] = await Promise.all(
    ['index.html', 'board.css'].map((name) => Bun.file(join(folder, name)).text()),
  )
  const command = [
    process.execPath,
    'build',
    join(folder, 'main.ts'),
    '--target=browser',
    '--format=iife',
    '--minify',
  ]
  // Nothing of the environment, which holds secrets: the bundler could put it into the page.
  const child = Bun.spawn(command, { env: {}, stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 })
  const [js, faults, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (code !== 0) throw new Error(`the live board does not bundle: ${faults.slice(0, 2_000)}`)
  return { html: html!, css: css!, js }
}
