// Maps a path to its route. Paths are exact: nothing is decoded, folded, lower-cased or trimmed before they are compared,
// and a literal segment wins over a parameter, so that `/api/tasks/bulk` is never the task `bulk`.
import { Kind, type TSchema } from '@sinclair/typebox'
import type { DeclaredRoute } from './route-group.ts'

export interface Parameter {
  name: string
  /** Whether it is text, in which an encoded slash is a character like any other. */
  isText: boolean
}

/** One path template with its routes, as OpenAPI names it. */
export interface PathItem {
  readonly template: string
  /** Its parameters, in order. */
  readonly parameters: readonly Parameter[]
  /** By method; GET answers HEAD. */
  readonly routes: ReadonlyMap<string, DeclaredRoute>
  /** The value of `Allow`. */
  readonly methods: readonly string[]
}

export interface FoundPath {
  item: PathItem
  /** Its parameters as they were sent, in order. */
  values: string[]
}

export interface RouteTable {
  readonly items: readonly PathItem[]
  /** The item of exactly this path; null for none. */
  find(path: string): FoundPath | null
  /**
   * The existing path that a wrong one resembles: without empty and dot segments and needless encoding, letters in
   * their case. Null where there is none.
   */
  suggestPath(path: string): string | null
}

/** The route of a method on a path. */
export const routeOf = (item: PathItem, method: string): DeclaredRoute | undefined =>
  item.routes.get(method === 'HEAD' ? 'GET' : method)

export const createRouteTable = (routes: readonly DeclaredRoute[]): RouteTable => {
  const { all, exact, folded } = compile(routes)
  return {
    items: all.map(({ item }) => item),
    find: (path) => lookUp(exact, path, path),
    suggestPath(path) {
      const tidy = normalized(path)
      const found = lookUp(folded, tidy.toLowerCase(), tidy)
      return found && fill(found.item, found.values)
    },
  }
}

interface Pattern {
  item: PathItem
  pattern: RegExp
  folded: RegExp
}

interface Index {
  literal: Map<string, PathItem>
  /** By number of segments, the most literal ones first. */
  patterns: Map<number, { item: PathItem; pattern: RegExp }[]>
}

interface Compiled {
  all: Pattern[]
  exact: Index
  folded: Index
}

const compile = (routes: readonly DeclaredRoute[]): Compiled => {
  const byTemplate = Map.groupBy(routes, ({ path }) => path)
  const all = [...byTemplate].map(([template, ofTemplate]) => patternOf(template, ofTemplate))
  // A colon sorts before letters in ASCII: the highest character puts parameters after every literal.
  const rankOf = ({ item }: Pattern) => item.template.replaceAll(/:\w+/g, '\uffff')
  all.sort((a, b) => (rankOf(a) < rankOf(b) ? -1 : 1))
  return {
    all,
    exact: indexOf(all, (template) => template, 'pattern'),
    folded: indexOf(all, (template) => template.toLowerCase(), 'folded'),
  }
}

const patternOf = (template: string, routes: DeclaredRoute[]): Pattern => {
  if (/[*?]|.\/$/.test(template)) throw new Error(`${template} matches more than one path`)
  const methods = routes.map(({ method }) => method)
  const source = template.replaceAll(/[.+^${}()|[\]\\]/g, String.raw`\$&`).replaceAll(/:\w+/g, '([^/]+)')
  return {
    item: {
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
  const isLiteral = ({ item }: Pattern) => item.parameters.length === 0
  return {
    literal: new Map(all.filter(isLiteral).map(({ item }) => [keyOf(item.template), item])),
    patterns: Map.groupBy(
      all.filter((one) => !isLiteral(one)).map((one) => ({ item: one.item, pattern: one[kind] })),
      ({ item }) => segmentsOf(item.template),
    ),
  }
}

const lookUp = ({ literal, patterns }: Index, key: string, path: string): FoundPath | null => {
  const item = literal.get(key)
  if (item) return { item, values: [] }
  for (const { item, pattern } of patterns.get(segmentsOf(path)) ?? []) {
    const match = pattern.exec(path)
    if (match) return { item, values: match.slice(1) }
  }
  return null
}

/** The path without empty segments, dot segments and needless encoding: linear in its length. */
const normalized = (path: string): string => {
  const kept: string[] = []
  const plain = path.replaceAll(/%[2-7][0-9a-f]/gi, (encoded) => {
    const letter = String.fromCodePoint(Number.parseInt(encoded.slice(1), 16))
    return /[\w.~/-]/.test(letter) ? letter : encoded
  })
  for (const segment of plain.split(/[/\\]/)) {
    if (segment === '..') kept.pop()
    else if (segment !== '' && segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}`
}

const fill = ({ template }: PathItem, values: string[]): string => {
  const left = [...values]
  return template.replaceAll(/:\w+/g, () => left.shift()!)
}
