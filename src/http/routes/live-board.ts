// /board: the live board, a page that shows tasks as they change. It works by the API and the published client alone, and
// has no right of its own. Its script is bundled with the first request for it.
import { OnFirstUse } from '../../async/on-first-use.ts'
import { isExecutable } from '../../start/executable.ts'
import type { LiveBoardFiles } from '../live-board/read-files.ts'
import { pageHeaders } from '../pages/page.ts'
import { bodyTag } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

const load = async (): Promise<LiveBoardFiles> =>
  isExecutable
    ? (await import('../live-board/embedded-files.ts')).embeddedLiveBoard
    : (await import('../live-board/read-files.ts')).readLiveBoard()

export const liveBoardRoutes = () => {
  const answers = new OnFirstUse(async () => {
    const { html, css, js } = await load()
    const text = (type: string, body: string) => bodyTag({ status: 200, headers: pageHeaders(type), body })
    return { html: text('text/html', html), css: text('text/css', css), js: text('text/javascript', js) }
  })
  return new RouteGroup('/board', { detail: undocumented({ access: 'public' }) })
    .get('', async () => (await answers.get()).html)
    .get('/board.css', async () => (await answers.get()).css)
    .get('/board.js', async () => (await answers.get()).js)
}
