// The model's types as plain TypeScript, for a package that needs no schema library: printed from the schemas
// themselves. `test/client/package.test.ts` shows that they are the same types.
import { Kind, OptionalKind, type TSchema } from '@sinclair/typebox'
import { join } from 'node:path'

const model = join(import.meta.dir, '..', 'src', 'model')

interface Module {
  text: string
  exports: Record<string, unknown>
}

/**
 * Declares what is needed of the model, everything in one module.
 * @param needed names of exported types, by file such as `task`. Throws for what cannot be printed.
 */
export const declareModel = async (needed: ReadonlyMap<string, ReadonlySet<string>>): Promise<string> => {
  const named = new Map<unknown, string>()
  const modules = new Map<string, Module>()
  for (const [file, names] of needed) {
    const path = join(model, `${file}.ts`)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a module is its exports
    const exports = (await import(path)) as Module['exports']
    modules.set(file, { text: await Bun.file(path).text(), exports })
    for (const name of names) if (isSchema(exports[name])) named.set(exports[name], name)
  }
  const declarations: string[] = []
  for (const [file, names] of needed)
    for (const name of [...names].sort()) declarations.push(declaration(name, modules.get(file)!, named))
  return `${declarations.join('\n\n')}\n`
}

const declaration = (name: string, { text, exports }: Module, named: Map<unknown, string>): string => {
  const comment = new RegExp(`(/\\*\\*[^\\n]*\\*/\\n)export (?:const|type) ${name}\\b`).exec(text)?.[1] ?? ''
  const schema = exports[name]
  if (isSchema(schema)) {
    const own = new Map([...named].filter(([, other]) => other !== name))
    const body = print(schema, own, '')
    return body.startsWith('{')
      ? `${comment}export interface ${name} ${body}`
      : `${comment}export type ${name} = ${body}`
  }
  // `(typeof words)[number]`, or a union of the schemas in a record.
  const source = new RegExp(`export type ${name} = [^\\n]*?typeof (\\w+)`).exec(text)?.[1]
  const values = source === undefined ? undefined : exports[source]
  if (Array.isArray(values)) return `${comment}export type ${name} = ${union(values.map(literal))}`
  if (typeof values !== 'object' || values === null) throw new Error(`the type ${name} cannot be printed`)
  const members = Object.values(values).filter(isSchema)
  return `${comment}export type ${name} =\n  | ${members.map((one) => print(one, named, '  ')).join('\n  | ')}`
}

const isSchema = (value: unknown): value is TSchema =>
  typeof value === 'object' && value !== null && Kind in value

const literal = (value: unknown): string =>
  typeof value === 'string' ? `'${value.replaceAll(/['\\]/g, '\\$&')}'` : JSON.stringify(value)

const union = (members: string[]): string => [...new Set(members)].join(' | ')

const print = (schema: TSchema, named: ReadonlyMap<unknown, string>, indent: string): string => {
  const name = named.get(schema)
  if (name !== undefined) return name
  const inner = (one: TSchema): string => print(one, named, indent)
  if (schema['const'] !== undefined) return literal(schema['const'])
  if (schema['enum']) return union(schema['enum'].map(literal))
  if (schema['anyOf']) return union(schema['anyOf'].map(inner))
  switch (schema['type']) {
    case 'string':
    case 'number':
    case 'boolean':
    case 'null':
      return schema['type']
    case 'integer':
      return 'number'
    case 'array':
      return Array.isArray(schema['items'])
        ? `[${schema['items'].map(inner).join(', ')}]`
        : `${bracketed(inner(schema['items']))}[]`
    case 'object':
      return printObject(schema, named, indent)
    case undefined:
      return 'unknown'
    default:
      throw new Error(`a schema of type ${schema['type']} cannot be printed`)
  }
}

const bracketed = (text: string): string => (/ \| (?![^{]*\})/.test(text) ? `(${text})` : text)

const printObject = (schema: TSchema, named: ReadonlyMap<unknown, string>, indent: string): string => {
  const [record] = Object.values<TSchema>(schema['patternProperties'] ?? {})
  if (record) return `Readonly<Record<string, ${print(record, named, indent)}>>`
  const fields = Object.entries<TSchema>(schema['properties'] ?? {})
  if (fields.length === 0) return '{}'
  const lines = fields.map(([name, field]) => {
    const comment = field.description ? `${indent}  /** ${field.description} */\n` : ''
    const mark = field[OptionalKind] ? '?' : ''
    const key = /^\w+$/.test(name) ? name : `'${name}'`
    return `${comment}${indent}  ${key}${mark}: ${print(field, named, `${indent}  `)}`
  })
  return `{\n${lines.join('\n')}\n${indent}}`
}
