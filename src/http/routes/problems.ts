// /problems: what each error code means, where the `type` of a problem leads. HTML, or Markdown for clients that prefer
// it (programs that read text). Nothing is loaded: the style is in the page, allowed by its hash.
import { Type } from '@sinclair/typebox'
import { errorCodes, type ErrorCode } from '../../errors.ts'
import { Word } from '../../model/scalar.ts'
import type { StoredResponse } from '../../model/stored-response.ts'
import { prefersMarkdown } from '../problems/accept.ts'
import { listOfCodes, pageOfCode, style, type Page } from '../problems/pages.ts'
import type { RequestContext } from '../request-context.ts'
import { bodyTag } from '../response.ts'
import { undocumented } from '../route.ts'
import { RouteGroup } from '../route-group.ts'

const styleHash = new Bun.CryptoHasher('sha256').update(style).digest('base64')

const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

const answer = ({ html, markdown }: Page, { request }: RequestContext): StoredResponse => {
  const isMarkdown = prefersMarkdown(request.headers.get('accept'))
  return bodyTag({
    status: 200,
    headers: {
      'Content-Type': `text/${isMarkdown ? 'markdown' : 'html'}; charset=utf-8`,
      'Content-Security-Policy': policy,
      'Cache-Control': 'no-cache',
      Vary: 'Origin, Accept',
    },
    body: isMarkdown ? markdown : html,
  })
}

export const problemRoutes = () => {
  const list = listOfCodes()
  const pages = new Map<ErrorCode, Page>(errorCodes.map((code) => [code, pageOfCode(code)]))
  return new RouteGroup('/problems', { detail: undocumented({ access: 'public' }) })
    .get('', (context) => answer(list, context))
    .get('/:code', (context) => answer(pages.get(context.params.code)!, context), {
      params: Type.Object({ code: Word(...errorCodes) }),
    })
}
