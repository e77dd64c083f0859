// Paths are exact, here and nowhere else. Bun's router compares the path as it was sent; `request.url` has dot segments
// and backslashes folded away already, so Elysia's own router would answer `/x/../livez` and `/livez/` like `/livez`.
// Therefore every template takes every method in Bun's router, and what still falls through has no exact path.
import { AppError } from '../errors.ts'
import { pathOf } from './request-context.ts'
import type { Place, RouteTable } from './route-table.ts'

/** Methods that Bun's router tells apart; any other one falls through on every path. */
const routedMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

type Fetch = (request: Request) => Response | Promise<Response>

const unrouted = new WeakSet<Request>()

/** What Bun's router answers besides the routes that Elysia registers: other methods, and every other path. */
export const remainingRoutes = (
  { places }: RouteTable,
  fetch: Fetch,
): Record<string, Fetch | Record<string, Fetch>> => ({
  ...Object.fromEntries(
    places.map(({ template, methods }) => [
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
 * The place a request is for. 404 `not_found` where its path is not exactly one of ours, with the right path where
 * there is one; 405 `method_not_allowed` with the methods of the place.
 */
export const requirePlace = (request: Request, routes: RouteTable): Place => {
  const path = pathOf(request)
  const found = routes.find(path)
  const isRouted = !unrouted.has(request)
  if (!found || (isRouted ? !isAsSent(request, found) : routedMethods.includes(request.method))) {
    const rightPath = routes.rightPathFor(path)
    throw new AppError(
      'not_found',
      rightPath === null ? undefined : `Paths are exact: this one is ${rightPath}`,
    )
  }
  const { place } = found
  if (!isRouted || !place.methods.includes(request.method))
    throw new AppError('method_not_allowed', undefined, { extra: { allow: place.methods } })
  return place
}

/** Whether Bun's router, which saw the path as it was sent, read the same parameters, none of them a dot segment. */
const isAsSent = (request: Request, { place, values }: { place: Place; values: string[] }): boolean => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Bun's router adds them; its type is a subclass
  const { params } = request as Request & { params: Record<string, string> }
  if (Object.keys(params).length !== place.parameters.length) return false
  return place.parameters.every(({ name, isText }, index) => {
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
