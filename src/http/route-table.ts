// Which route a path belongs to. Paths are exact: nothing is decoded, folded, lower-cased or trimmed before they are
// compared, and a literal word wins over a parameter, so that `/api/tasks/bulk` is never the task `bulk`.
import { Kind, type TSchema } from '@sinclair/typebox'
import type { RouteSchemas } from './faults.ts'

/** A route as Elysia lists it. */
export interface Route {
  method: string
  path: string
  hooks: RouteSchemas
}

export interface Parameter {
  name: string
  /** Whether it is text, in which an encoded slash is a character like any other. */
  isText: boolean
}

/** One path template with the routes that answer on it. */
export interface Place {
  readonly template: string
  /** Its parameters, in order. */
  readonly parameters: readonly Parameter[]
  /** By method; HEAD is answered by GET. */
  readonly routes: ReadonlyMap<string, Route>
  /** What `Allow` says. */
  readonly methods: readonly string[]
}

export interface RouteTable {
  readonly places: readonly Place[]
  /** The place of exactly this path, with the values of its parameters as they were sent; null for none. */
  find(path: string): { place: Place; values: string[] } | null
  /** What was probably meant by a path that has no place: without empty and dot segments, words in their case. */
  rightPathFor(path: string): string | null
}

/** The route of a method on a place. */
export const routeOf = (place: Place, method: string): Route | undefined =>
  place.routes.get(method === 'HEAD' ? 'GET' : method)

/** @param routesOf all routes of the application, asked at the first use, when all of them exist. */
export const createRouteTable = (routesOf: () => Route[]): RouteTable => {
  let compiled: Compiled | null = null
  const table = (): Compiled => (compiled ??= compile(routesOf()))
  return {
    get places() {
      return table().all.map(({ place }) => place)
    },
    find: (path) => lookUp(table().exact, path, path),
    rightPathFor(path) {
      const tidy = withoutDetours(path)
      const found = lookUp(table().folded, tidy.toLowerCase(), tidy)
      return found && fill(found.place, found.values)
    },
  }
}

interface Pattern {
  place: Place
  pattern: RegExp
  folded: RegExp
}

interface Index {
  literal: Map<string, Place>
  /** By number of segments, most literal words first. */
  patterns: Map<number, { place: Place; pattern: RegExp }[]>
}

interface Compiled {
  all: Pattern[]
  exact: Index
  folded: Index
}

const compile = (routes: Route[]): Compiled => {
  const byTemplate = Map.groupBy(routes, ({ path }) => path)
  const all = [...byTemplate].map(([template, ofTemplate]) => patternOf(template, ofTemplate))
  // A colon sorts behind letters nowhere in ASCII, so parameters are moved behind every word.
  const rankOf = ({ place }: Pattern) => place.template.replaceAll(/:\w+/g, '\uffff')
  all.sort((a, b) => (rankOf(a) < rankOf(b) ? -1 : 1))
  return {
    all,
    exact: indexOf(all, (template) => template, 'pattern'),
    folded: indexOf(all, (template) => template.toLowerCase(), 'folded'),
  }
}

const patternOf = (template: string, routes: Route[]): Pattern => {
  if (/[*?]|.\/$/.test(template)) throw new Error(`${template} matches more than one path`)
  const methods = routes.map(({ method }) => method)
  const source = template.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`).replaceAll(/:\w+/g, '([^/]+)')
  return {
    place: {
      template,
      parameters: [...template.matchAll(/:(\w+)/g)].map(([, name]) => ({
        name: name!,
        isText: routes.every(({ hooks }) => kindOf(hooks.params, name!) === 'Text'),
      })),
      routes: new Map(routes.map((route) => [route.method, route])),
      methods: methods.includes('GET') ? [...methods, 'HEAD'] : methods,
    },
    pattern: new RegExp(`^${source}$`),
    folded: new RegExp(`^${source}$`, 'i'),
  }
}

const kindOf = (schema: TSchema | undefined, name: string): unknown => schema?.['properties']?.[name]?.[Kind]

const segmentsOf = (path: string): number => path.split('/').length

const indexOf = (all: Pattern[], keyOf: (template: string) => string, kind: 'pattern' | 'folded'): Index => {
  const isLiteral = ({ place }: Pattern) => place.parameters.length === 0
  return {
    literal: new Map(all.filter(isLiteral).map(({ place }) => [keyOf(place.template), place])),
    patterns: Map.groupBy(
      all.filter((one) => !isLiteral(one)).map((one) => ({ place: one.place, pattern: one[kind] })),
      ({ place }) => segmentsOf(place.template),
    ),
  }
}

const lookUp = (
  { literal, patterns }: Index,
  key: string,
  path: string,
): { place: Place; values: string[] } | null => {
  const place = literal.get(key)
  if (place) return { place, values: [] }
  for (const { place, pattern } of patterns.get(segmentsOf(path)) ?? []) {
    const match = pattern.exec(path)
    if (match) return { place, values: match.slice(1) }
  }
  return null
}

/** The path without empty segments, dot segments and encoded slashes: linear in its length. */
const withoutDetours = (path: string): string => {
  const kept: string[] = []
  for (const segment of path.replaceAll(/%2f/gi, '/').replaceAll(/%2e/gi, '.').split(/[/\\]/)) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}`
}

const fill = ({ template }: Place, values: string[]): string => {
  const left = [...values]
  return template.replaceAll(/:\w+/g, () => left.shift()!)
}
