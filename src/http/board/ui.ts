// The page of the board: its own HTML around the scripts of the package, without what the content security policy
// refuses, such as inline styles and fonts from another host. Loaded with the first request for it.
import { isExecutable } from '../../start/executable.ts'
import type { Ui } from './ui-texts.ts'

export interface BoardUi {
  /** @param config what the scripts read from the page. */
  page(config: object): string
  /** By path below `static/`; undefined where there is none. */
  file(path: string): Blob | undefined
}

let loaded: Promise<BoardUi> | undefined

export const loadUi = (): Promise<BoardUi> => (loaded ??= load())

const load = async (): Promise<BoardUi> => {
  const ui: Ui = isExecutable
    ? (await import('./embedded-ui.ts')).embeddedUi
    : await (await import('./ui-texts.ts')).readUi()
  const files = new Map(
    ui.files.map(({ path, type, base64 }) => [
      path,
      new File([Buffer.from(base64, 'base64')], path, { type }),
    ]),
  )
  return { page: (config) => pageOf(ui, config), file: (path) => files.get(path) }
}

const pageOf = ({ scripts, styles }: Ui, config: object): string => `<!doctype html>
<html lang="en" dir="ltr">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1, shrink-to-fit=no">
    <meta name="robots" content="noindex">
    <base href="/admin/queues/">
    <title>Tasktide jobs</title>
    <link rel="icon" type="image/svg+xml" id="fav-logo" href="static/images/logo.svg">
${styles.map((path) => `    <link rel="stylesheet" href="static/${path}">`).join('\n')}
    <script id="__UI_CONFIG__" type="application/json">${JSON.stringify(config).replaceAll('<', '\\u003c')}</script>
    <script src="/admin/keep-signed-in.js" defer></script>
${scripts.map((path) => `    <script src="static/${path}" defer></script>`).join('\n')}
  </head>
  <body class="preload">
    <div id="root">Loading</div>
  </body>
</html>
`
