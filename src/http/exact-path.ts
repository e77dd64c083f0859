// Enforces exact paths. Bun's router compares the path as it was sent; `request.url` has dot segments and backslashes
// folded already, so that Elysia's own router would answer `/x/../livez` and `/livez/` like `/livez`. Therefore every
// template is registered in Bun's router with every method, and a request that still falls through has no exact path.
import { AppError } from '../errors.ts'
import { hasHost } from './request-context.ts'
import type { FoundPath, RouteTable } from './route-table.ts'

/** Methods that Bun's router distinguishes; any other one falls through on every path. */
const routedMethods = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']

type Answering = (request: Request) => Response | Promise<Response>

/**
 * Entries of Bun's router besides the routes that Elysia registers: other methods, and every other path.
 * @param refuse answers a request without a route, whose path Bun's router knows or not.
 */
export const remainingRoutes = (
  { items }: RouteTable,
  refuse: (request: Request, isRouted: boolean) => Response | Promise<Response>,
): Record<string, Answering | Record<string, Answering>> => ({
  ...Object.fromEntries(
    items.map(({ template, methods }) => [
      template,
      Object.fromEntries(
        routedMethods
          .filter((method) => !methods.includes(method))
          .map((method) => [method, (request: Request) => refuse(request, true)]),
      ),
    ]),
  ),
  '/*': (request) => refuse(request, false),
})

/**
 * The error of a request without a route: 404 `not_found` where the path is not exactly one of the table, with the path
 * it resembles; 405 `method_not_allowed` with the methods of the path.
 */
export const missingRoute = (
  { request, path }: { request: Request; path: string },
  found: FoundPath | null,
  routes: RouteTable,
  isRouted: boolean,
): AppError => {
  if (!found || (isRouted ? !isAsSent(request, found) : routedMethods.includes(request.method)))
    return noSuchPath(routes.suggestPath(path))
  return new AppError('method_not_allowed', undefined, { extra: { allow: found.item.methods } })
}

/** 404 `not_found`, with the path that the wrong one resembles. */
export const noSuchPath = (suggested: string | null): AppError =>
  new AppError('not_found', suggested === null ? undefined : `Paths are exact: this one is ${suggested}`)

/** The parameters as Bun's router read them; undefined for a request that it did not route. */
export const paramsOf = (request: Request): Record<string, string> | undefined =>
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Bun's router adds them; its type is a subclass
  (request as Request & { params?: Record<string, string> }).params

/**
 * Whether the path is the template of the route, filled with what Bun's router read. Most requests are decided by
 * comparing text; a parameter that is sent in an encoded form needs the pattern.
 */
export const exactPathOf = (template: string, routes: RouteTable) => {
  const [head = '', ...others] = template.split(/:\w+/)
  const names = [...template.matchAll(/:(\w+)/g)].map(([, name]) => name!)
  return (request: Request, path: string): boolean => {
    const params = paramsOf(request)
    if (!params) return false
    if (names.length === 0) return path === template
    // Without a Host header Bun folds nothing, so that equal text proves nothing.
    if (hasHost(request.url)) {
      let filled = head
      for (let index = 0; index < names.length; index += 1) filled += params[names[index]!]! + others[index]!
      if (filled === path) return true
    }
    const found = routes.find(path)
    return found?.item.template === template && isAsSent(request, found)
  }
}

/** Whether Bun's router, which compared the path as sent, read the same parameters, none of them a dot segment. */
const isAsSent = (request: Request, { item, values }: FoundPath): boolean => {
  const params = paramsOf(request)
  if (!params || Object.keys(params).length !== item.parameters.length) return false
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
