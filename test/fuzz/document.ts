// The OpenAPI document as the generators read it: operations with their parameters and bodies, references resolved.
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

/** A JSON Schema of the document. */
export interface Schema {
  $ref?: string
  type?: string
  enum?: Json[]
  const?: Json
  anyOf?: Schema[]
  oneOf?: { required: string[] }[]
  not?: { required?: string[]; pattern?: string }
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean
  minProperties?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
}

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required: boolean
  explode: boolean
  schema: Schema
}

export interface Operation {
  /** `POST /api/tasks/{id}/comments` */
  name: string
  method: string
  template: string
  parameters: Parameter[]
  /** By media type; null where the operation has none. */
  body: { required: boolean; types: Record<string, Schema> } | null
  isGuarded: boolean
  takesPersonalTokens: boolean
  statuses: number[]
}

interface WrittenOperation {
  parameters?: ({ $ref: string } | (Partial<Parameter> & { name: string }))[]
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> }
  security: Record<string, unknown>[]
  responses: Record<string, unknown>
}

export interface Document {
  paths: Record<string, Record<string, WrittenOperation>>
  components: { schemas: Record<string, Schema>; parameters: Record<string, Parameter> }
}

export interface Api {
  operations: Operation[]
  /** The schema itself, or what it refers to. */
  resolve: (schema: Schema) => Schema
  /** The methods of each path. */
  methods: Map<string, string[]>
}

export const readApi = ({ paths, components }: Document): Api => {
  const resolve = (schema: Schema): Schema =>
    schema.$ref === undefined ? schema : resolve(components.schemas[schema.$ref.split('/').at(-1)!]!)
  const parameterOf = (written: { $ref: string } | (Partial<Parameter> & { name: string })): Parameter => {
    const found = '$ref' in written ? components.parameters[written.$ref.split('/').at(-1)!]! : written
    return { required: false, explode: true, in: 'query', ...found, schema: resolve(found.schema ?? {}) }
  }
  const operations = Object.entries(paths).flatMap(([template, item]) =>
    Object.entries(item).map(
      ([method, { parameters = [], requestBody, security, responses }]): Operation => ({
        name: `${method.toUpperCase()} ${template}`,
        method: method.toUpperCase(),
        template,
        parameters: parameters.map(parameterOf),
        body: requestBody
          ? {
              required: requestBody.required,
              types: Object.fromEntries(
                Object.entries(requestBody.content).map(([type, { schema }]) => [type, schema]),
              ),
            }
          : null,
        isGuarded: security.length > 0,
        takesPersonalTokens: security.some((scheme) => 'personalToken' in scheme),
        statuses: Object.keys(responses).map(Number),
      }),
    ),
  )
  const methods = new Map(
    Object.entries(paths).map(([template, item]) => [
      template,
      Object.keys(item).map((method) => method.toUpperCase()),
    ]),
  )
  return { operations, resolve, methods }
}
