// Kinds of settings: each parses the text of a variable and reports problems with their fix. Invariant: a problem never
// quotes the value, which may be secret.

export interface Key<T> {
  name: string
  /** What it is for, with unit and default: one line of .env.example. */
  about: string
  example: string
  /** Never in an output; NAME_FILE may name a file that holds it. */
  secret?: boolean
  read(text: string | undefined, fail: (fix: string) => void, production: boolean): T
}

export const text = (
  name: string,
  about: string,
  example: string,
  fallback: string | null,
  check: (value: string) => string[] = () => [],
): Key<string> => ({
  name,
  about,
  example,
  read(value, fail) {
    const chosen = value ?? fallback
    if (chosen === null) {
      fail(`is missing; set it to something like ${example}`)
      return ''
    }
    for (const fault of check(chosen)) fail(fault)
    return chosen
  },
})

/** A text that may be unset: null. */
export const optional = (
  name: string,
  about: string,
  example: string,
  check: (value: string) => string[] = () => [],
): Key<string | null> => ({
  name,
  about,
  example,
  read(value, fail) {
    if (value === undefined) return null
    for (const fault of check(value)) fail(fault)
    return value
  },
})

export const whole = (
  name: string,
  about: string,
  fallback: number,
  min: number,
  max: number,
): Key<number> => ({
  name,
  about: `${about} (${min} to ${max}, default ${fallback})`,
  example: String(fallback),
  read(value, fail) {
    if (value === undefined) return fallback
    const number = /^\d{1,15}$/.test(value) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    fail(`must be a whole number from ${min} to ${max}`)
    return fallback
  },
})

/** A whole number that may be unset: null. @param unset what happens then. */
export const optionalWhole = (
  name: string,
  about: string,
  example: number,
  min: number,
  max: number,
  unset = 'none',
): Key<number | null> => {
  const key = whole(name, about, example, min, max)
  return {
    ...key,
    about: `${about} (${min} to ${max}; unset: ${unset})`,
    read: (value, fail, isProduction) => (value === undefined ? null : key.read(value, fail, isProduction)),
  }
}

/** A setting with another default in production. */
export const wholeIn = (
  name: string,
  about: string,
  fallback: { development: number; production: number },
  min: number,
  max: number,
): Key<number> => {
  const { development, production } = fallback
  const key = whole(name, about, development, min, max)
  return {
    ...key,
    about: `${about} (${min} to ${max}, default ${development}, in production ${production})`,
    read: (value, fail, isProduction) =>
      key.read(value ?? (isProduction ? String(production) : undefined), fail, isProduction),
  }
}

export const oneOf = <const T extends string>(
  name: string,
  about: string,
  fallback: T,
  ...words: T[]
): Key<T> => ({
  name,
  about: `${about} (${words.join(', ')})`,
  example: fallback,
  read(value, fail) {
    const word = words.find((candidate) => candidate === (value ?? fallback))
    if (!word) fail(`must be one of ${words.join(', ')}`)
    return word ?? fallback
  },
})

export const secret = <T>(key: Key<T>): Key<T> => ({ ...key, secret: true })
