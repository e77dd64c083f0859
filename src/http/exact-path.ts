// Enforces exact paths. Bun's router compares the path as it was sent; `request.url` has dot segments and backslashes
// folded already, so that Elysia's own router would answer `/x/../livez` and `/livez/` like `/livez`. Therefore every
// template is registered in Bun's router with every method, and a request that still falls through has no exact path.
import { AppError } from '../errors.ts'
import { pathOf } from './request-context.ts'
import type { FoundPath, RouteTable } from './route-table.ts'

/** Methods that Bun's router distinguishes; any other one falls through on every path. */
const routedMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

type Fetch = (request: Request) => Response | Promise<Response>

const unrouted = new WeakSet<Request>()

/** Entries of Bun's router besides the routes that Elysia registers: other methods, and every other path. */
export const remainingRoutes = (
  { items }: RouteTable,
  fetch: Fetch,
): Record<string, Fetch | Record<string, Fetch>> => ({
  ...Object.fromEntries(
    items.map(({ template, methods }) => [
      template,
      Object.fromEntries(
        routedMethods.filter((method) => !methods.includes(method)).map((method) => [method, fetch]),
      ),
    ]),
  ),
  '/*': (request) => {
    unrouted.add(request)
    return fetch(request)
  },
})

/**
 * 404 `not_found` where the path is not exactly one of the table, with the path it resembles; 405 `method_not_allowed`
 * with the methods of the path.
 */
export const requireRoute = (request: Request, found: FoundPath | null, routes: RouteTable): void => {
  const isRouted = !unrouted.has(request)
  if (!found || (isRouted ? !isAsSent(request, found) : routedMethods.includes(request.method))) {
    const suggested = routes.suggestPath(pathOf(request))
    throw new AppError(
      'not_found',
      suggested === null ? undefined : `Paths are exact: this one is ${suggested}`,
    )
  }
  const { methods } = found.item
  if (!isRouted || !methods.includes(request.method))
    throw new AppError('method_not_allowed', undefined, { extra: { allow: methods } })
}

/** Whether Bun's router, which compared the path as sent, read the same parameters, none of them a dot segment. */
const isAsSent = (request: Request, { item, values }: FoundPath): boolean => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Bun's router adds them; its type is a subclass
  const { params } = request as Request & { params: Record<string, string> }
  if (Object.keys(params).length !== item.parameters.length) return false
  return item.parameters.every(({ name, isText }, index) => {
    const value = params[name]
    const isPlain = value !== '.' && value !== '..' && (isText || !/[/\\]/.test(value ?? ''))
    return isPlain && value === decoded(values[index]!)
  })
}

const decoded = (segment: string): string | null => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return null
  }
}
