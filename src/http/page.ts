// Pages of lists. A cursor is the sort key of the last item, signed together with the path, filters and sort of its
// query, so that it is valid for no other query and cannot be forged.
import { Type, type TSchema } from '@sinclair/typebox'
import type { Config } from '../config.ts'
import type { ListedAt } from '../domain/list.ts'
import type { JwtKey } from '../settings/jwt-secrets.ts'
import { AppError, invalid } from '../errors.ts'
import { maxPagedItems, type Listed, type Slice, type SortKey } from '../model/page.ts'
import { bodyTag, longList, ok, type Answer } from './response.ts'
import type { BuiltAnswer, KeptAnswers } from './kept-answers.ts'
import { Cursor, Whole } from './query.ts'
import type { RequestContext } from './request-context.ts'
import { lowerCaseIds } from '../model/scalar.ts'
import type { StoredResponse } from '../model/stored-response.ts'

/** The query parameters of every list, besides its own. */
export const pageParameters = {
  limit: Type.Optional(Whole({ minimum: 1, maximum: 100, default: 20 })),
  cursor: Type.Optional(Cursor({ maxLength: 2048, description: '`nextCursor` of the page before' })),
  page: Type.Optional(
    Whole({
      minimum: 1,
      maximum: maxPagedItems,
      description: 'Numbered pages with totals, instead of a cursor',
    }),
  ),
}

/** The query of a list without filters. */
export const pageQuery = Type.Object(pageParameters, { additionalProperties: false })

/** A validated query: text, or a list of text where a name was repeated. */
export type Query = Readonly<Record<string, string | string[] | undefined>>

/** The answer of a list. */
export const pageOf = <T extends TSchema>(item: T) =>
  Type.Object({
    items: Type.Array(item),
    nextCursor: Type.Union([Type.String(), Type.Null()], { examples: [null] }),
    page: Type.Optional(Type.Integer({ minimum: 1 })),
    total: Type.Optional(Type.Integer({ minimum: 0 })),
    totalPages: Type.Optional(Type.Integer({ minimum: 0 })),
  })

/** The context of a list request, with its validated query. */
export type ListContext = RequestContext<unknown, Query>

export interface Pager {
  /**
   * Answers a list request with the items that `read` returns for a slice: `{items, nextCursor}`, for numbered pages
   * also `page, total, totalPages`, then further members of `read`; with `Link` and `ETag`. An answer is kept, and sent
   * again while nothing it shows has changed. 400 `bad_cursor`, 422 for a page that is too deep.
   */
  answer(context: ListContext, read: (slice: Slice) => Promise<ListedAt<unknown>>): Promise<Answer>
}

/** Longer pages are built in turns of the user, and in slices. */
const shortPage = 20

const isLong = ({ query }: ListContext): boolean => Number(query['limit']) > shortPage

const purpose = 'tasktide list cursor v1'
const macBytes = 16

interface PagerDeps {
  config: Pick<Config, 'jwtKeys'>
  kept: KeptAnswers
}

export const openPager = ({ config: { jwtKeys }, kept }: PagerDeps): Pager => {
  const keys = jwtKeys.map(cursorKey)

  const sign = (key: Uint8Array, binding: string, payload: string): string =>
    hmac(key, `${binding}\n${payload}`).subarray(0, macBytes).toString('base64url')

  const seal = (binding: string, sortKey: SortKey): string => {
    const payload = Buffer.from(JSON.stringify(sortKey)).toString('base64url')
    return `${payload}.${sign(keys[0]!, binding, payload)}`
  }

  const unseal = (binding: string, cursor: string): SortKey => {
    const [payload = '', mac = '', ...more] = cursor.split('.')
    // As text: of the last character of 16 bytes only 2 bits count, so that several texts decode to the same bytes.
    const given = Buffer.from(mac)
    const isSigned = keys.some((key) => {
      const expected = Buffer.from(sign(key, binding, payload))
      return given.length === expected.length && crypto.timingSafeEqual(given, expected)
    })
    if (!isSigned || more.length > 0) throw new AppError('bad_cursor')
    const key: SortKey = JSON.parse(Buffer.from(payload, 'base64url').toString()) // signed by this server
    return key
  }

  const sliceOf = (context: ListContext): Slice => {
    const { query } = context
    const limit = Number(query['limit'] ?? 20)
    const page = query['page'] === undefined ? null : Number(query['page'])
    const cursor = query['cursor']
    if (page === null)
      return { limit, page, after: typeof cursor === 'string' ? unseal(bindingOf(context), cursor) : null }
    if (cursor !== undefined) throw invalid({ pointer: '/cursor', detail: 'cannot be combined with page' })
    if (page * limit > maxPagedItems)
      throw invalid({ pointer: '/page', detail: `is too deep: page x limit is at most ${maxPagedItems}` })
    return { limit, page, after: null }
  }

  const render = async (
    context: ListContext,
    { limit, page }: Slice,
    list: Listed<unknown>,
  ): Promise<StoredResponse> => {
    const { items, next, total, ...more } = list
    const nextCursor = next && seal(bindingOf(context), next)
    const totals =
      page !== null && total !== null ? { page, total, totalPages: Math.ceil(total / limit) } : null
    const hasNextPage = totals && page! < totals.totalPages && (page! + 1) * limit <= maxPagedItems
    const following = hasNextPage ? { page: String(page! + 1) } : nextCursor && { cursor: nextCursor }
    const link = following ? { Link: `<${pathWith(context, following)}>; rel="next"` } : {}
    const rest = { nextCursor, ...totals, ...more }
    return isLong(context) ? longList(items, rest, link) : bodyTag(ok({ items, ...rest }, link))
  }

  return {
    answer: (context, read) => {
      const build = async (): Promise<BuiltAnswer> => {
        const slice = sliceOf(context)
        const { heads, ...list } = await read(slice)
        return { response: await render(context, slice, list), heads }
      }
      return kept.answer(context.actor, context.request.url, build, isLong(context))
    },
  }
}

const cursorKey = ({ secret }: JwtKey): Uint8Array => hmac(Buffer.from(secret), purpose)

const hmac = (key: Uint8Array, text: string): Buffer =>
  new Bun.CryptoHasher('sha256', key).update(text).digest()

const pageParameterNames = new Set(['limit', 'cursor', 'page'])

/** The query a cursor is valid for: the path and every parameter that filters or sorts. */
const bindingOf = ({ path, search }: RequestContext): string => {
  const parts = [...new URLSearchParams(search)].filter(([name]) => !pageParameterNames.has(name))
  return lowerCaseIds(JSON.stringify([path, ...parts.map(([name, value]) => `${name}=${value}`).sort()]))
}

const pathWith = ({ path, search }: RequestContext, changed: Record<string, string>): string => {
  const parameters = new URLSearchParams(search)
  for (const [name, value] of Object.entries(changed)) parameters.set(name, value)
  return `${path}?${parameters.toString()}`
}
