// Secrets from files, as Docker, Kubernetes and systemd hand them over: for each secret setting NAME, NAME_FILE may
// name the file that holds its value. Invariant: neither a value nor a path is in a problem, because a secret put
// into the wrong variable would be quoted.
import { readFileSync, statSync } from 'node:fs'

type Environment = Record<string, string | undefined>

export interface SecretFiles {
  /** The environment with the values in place, without the NAME_FILE variables that were read. */
  environment: Environment
  /** By name: the variable that holds the value or should have, NAME or NAME_FILE. */
  source: (name: string) => string
  /** By name, with the fix. */
  problems: Map<string, string>
}

const maxBytes = 64 * 1024

/** @param names of the settings that may come from a file. Empty variables count as unset. */
export const readSecretFiles = (environment: Environment, names: readonly string[]): SecretFiles => {
  const filled = { ...environment }
  const fromFile = new Set<string>()
  const problems = new Map<string, string>()
  for (const name of names) {
    const path = environment[`${name}_FILE`]
    if (!path) continue
    delete filled[`${name}_FILE`]
    fromFile.add(name)
    if (environment[name]) {
      problems.set(name, `and ${name} are both set; keep one of them`)
      continue
    }
    const { value, fault } = readSecret(path)
    if (fault === undefined) filled[name] = value
    else problems.set(name, fault)
  }
  return {
    environment: filled,
    source: (name) => (fromFile.has(name) ? `${name}_FILE` : name),
    problems,
  }
}

/** The text without the line breaks at its end, which editors and `echo` write. */
const readSecret = (
  path: string,
): { value: string; fault?: undefined } | { value?: undefined; fault: string } => {
  try {
    const { size } = statSync(path)
    if (size > maxBytes) return { fault: `names a file of more than ${maxBytes / 1024} KiB` }
    const value = readFileSync(path, 'utf8').replace(/[\r\n]+$/, '')
    return value === '' ? { fault: 'names an empty file' } : { value }
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    return { fault: `names a file that cannot be read (${code})` }
  }
}
