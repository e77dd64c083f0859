// References of the OpenAPI and AsyncAPI documents: a schema that equals a model is replaced by a reference to it.
import { isObject, models, plain, type Json } from './components.ts'

/** Equal text for equal models: the plugin reorders keys and drops additionalProperties. */
const canonical = (schema: unknown): string =>
  JSON.stringify(schema, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([key]) => key !== 'additionalProperties')
            .sort(([a], [b]) => (a < b ? -1 : 1)),
        )
      : value,
  )

let names: Map<string, string> | undefined

/** The model that equals a schema; made with the first document, not at the start of a process. */
const modelOf = (schema: Json): string | undefined => {
  names ??= new Map(Object.entries(models).map(([name, model]) => [canonical(plain(model)), name]))
  return names.get(canonical(schema))
}

/** The schema with every model in it replaced by a reference, and itself where it is a model. */
export const withReferences = (schema: Json): Json => {
  const name = isObject(schema) ? modelOf(schema) : undefined
  return name ? { $ref: `#/components/schemas/${name}` } : insideReferences(schema)
}

export const insideReferences = (schema: Json): Json => {
  if (Array.isArray(schema)) return schema.map(withReferences)
  if (!isObject(schema)) return schema
  return Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, withReferences(value)]))
}
