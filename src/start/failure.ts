// Failures of a start, each one sentence: the setting, the problem, the fix. Invariant: none contains a secret, a stack
// or the text of a library that might. A test starts each of the most common ones,
// which docs/starting.md lists.

/** Of the program, as sysexits.h names them. */
export const exitCodes = {
  failed: 1,
  usage: 2,
  /** A part is away or full: a supervisor may start it again. */
  unavailable: 69,
  /** A setting or a part is wrong: starting again does not help. */
  configuration: 78,
} as const

export class StartFailure extends Error {
  override readonly name = 'StartFailure'
  constructor(
    message: string,
    readonly exitCode: 1 | 69 | 78,
  ) {
    super(message)
  }
}

export const configurationFailure = (message: string): StartFailure =>
  new StartFailure(message, exitCodes.configuration)

export const unavailableFailure = (message: string): StartFailure =>
  new StartFailure(message, exitCodes.unavailable)

/** The `code` of a driver's or the system's error, empty without one. */
export const codeOfError = (error: unknown): string => {
  const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined
  return typeof code === 'string' ? code : ''
}

interface Remote {
  /** `DATABASE_URL` or `REDIS_URL`. */
  setting: string
  /** `PostgreSQL` or `Redis`. */
  part: string
  host: string
  port: number
}

/** Of errors of a certificate. */
export const tlsCodes =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_|CERT_|ERR_TLS_CERT_ALTNAME_INVALID|HOSTNAME_MISMATCH)/

/** What the network answers between here and a part; null where it is something else. */
export const networkFailure = (error: unknown, remote: Remote, trustCure: string): StartFailure | null => {
  const { setting, part, host, port } = remote
  const place = host.startsWith('/') ? host : `${host}:${port}`
  const code = codeOfError(error)
  if (code === 'ENOTFOUND')
    return configurationFailure(`${setting} names the host ${host}, which is unknown: correct the name`)
  if (code === 'EAI_AGAIN')
    return unavailableFailure(`${setting} names the host ${host}, and the name server does not answer`)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return configurationFailure(
      `${setting} names the host ${host}, and the certificate of ${part} is made out to another name: use that name`,
    )
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return configurationFailure(`${setting}: the certificate of ${part} at ${place} has expired: renew it`)
  if (tlsCodes.test(code))
    return configurationFailure(
      `${setting}: the certificate of ${part} at ${place} is signed by an authority that is not trusted: ${trustCure}`,
    )
  if (code === 'ECONNREFUSED' || code === 'ENOENT')
    return unavailableFailure(
      `${setting}: nothing listens at ${place}: start ${part} there, or correct the host and the port`,
    )
  if (code === 'EACCES' || code === 'EPERM')
    return configurationFailure(`${setting}: this user may not connect to ${place}`)
  if (/^(?:ETIMEDOUT|CONNECT_TIMEOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN)$/.test(code))
    return unavailableFailure(
      `${setting}: ${part} at ${place} does not answer: check that it runs, the address, and firewalls between`,
    )
  return null
}

interface ListenedPort {
  /** The setting of the port. */
  setting: string
  /** The setting of the address, `HOST` by default. */
  hostSetting?: string
  host: string
  port: number
}

/** What a port that is listened on meets. */
export const listenFailure = (
  error: unknown,
  { setting, hostSetting = 'HOST', host, port }: ListenedPort,
): StartFailure => {
  switch (codeOfError(error)) {
    case 'EADDRINUSE':
      return configurationFailure(
        `${setting} is ${port}, and that port of ${host} is in use: stop the other program, or set another ${setting}`,
      )
    case 'EACCES':
    case 'EPERM':
      return configurationFailure(
        `${setting} is ${port}, and this user may not listen below 1024: set ${setting} to 1024 or above`,
      )
    case '': // a name that is not found, when a socket is bound without a server
    case 'EADDRNOTAVAIL':
    case 'EAFNOSUPPORT':
    case 'ENOTFOUND':
      return configurationFailure(
        `${hostSetting} is ${host}, which is no address of this machine: set it to 127.0.0.1, 0.0.0.0, ::1 or :: for example`,
      )
    default:
      return configurationFailure(
        `${setting} is ${port}, and listening on ${host} fails (${codeOfError(error)}): set another ${setting}`,
      )
  }
}

export const diskFailure = (setting: string, folder: string): StartFailure =>
  unavailableFailure(`The disk of ${folder} (${setting}) is full: free space, or set another folder`)

/** What a folder or file meets that Tasktide writes; null where it is something else. */
export const fileFailure = (error: unknown, setting: string, folder: string): StartFailure | null => {
  switch (codeOfError(error)) {
    case 'EACCES':
    case 'EPERM':
      return configurationFailure(
        `${setting} is ${folder}, where this user may not write: give it the rights, or set another folder`,
      )
    case 'EROFS':
      return configurationFailure(`${setting} is ${folder}, on a read-only file system: set another folder`)
    case 'ENOTDIR':
    case 'EEXIST':
      return configurationFailure(`${setting} is ${folder}, which is no folder: set another one`)
    case 'ENOSPC':
    case 'EDQUOT':
      return diskFailure(setting, folder)
    default:
      return null
  }
}
