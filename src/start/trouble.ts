// Why a running process cannot use a part or a folder, as one sentence: the setting and the cure. Invariant: no address and
// no other value of a setting, because readiness shows it to everyone.
import { tlsCodes } from './failure.ts'

export interface Trouble {
  /** The setting and the cure. */
  text: string
  /** It may pass by itself, or when a part is started or space is freed: no setting has to be corrected. */
  isTemporary: boolean
}

export const wrongSetting = (text: string): Trouble => ({ text, isTemporary: false })
export const temporaryTrouble = (text: string): Trouble => ({ text, isTemporary: true })

/** What the network answers between here and a part, by the code of the error; null where it is something else. */
export const networkTrouble = (code: string, setting: string, part: string): Trouble | null => {
  if (code === 'ENOTFOUND') return wrongSetting(`${setting} names a host that is unknown: correct the name`)
  if (code === 'EAI_AGAIN')
    return temporaryTrouble(`${setting} names a host, and the name server does not answer`)
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return wrongSetting(`${setting}: the certificate of ${part} is made out to another name: use that name`)
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return wrongSetting(`${setting}: the certificate of ${part} has expired: renew it`)
  if (tlsCodes.test(code))
    return wrongSetting(
      `${setting}: the certificate of ${part} is signed by an authority that is not trusted: name the file of the authority in NODE_EXTRA_CA_CERTS`,
    )
  if (code === 'ECONNREFUSED')
    return temporaryTrouble(
      `${setting}: nothing listens there: start ${part}, or correct the host and the port`,
    )
  if (/^(?:ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN)$/.test(code))
    return temporaryTrouble(
      `${setting}: ${part} does not answer: check that it runs, the address, and firewalls between`,
    )
  return null
}

/** What a folder below `TIDE_DATA` meets, by the code of the error; null where it is something else. */
export const folderTrouble = (code: string, folder: string): Trouble | null => {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return wrongSetting(
        `this user may not write to the folder ${folder} in TIDE_DATA: give it the rights, or set another TIDE_DATA`,
      )
    case 'EROFS':
      return wrongSetting(
        `the folder ${folder} in TIDE_DATA is on a read-only file system: set another TIDE_DATA`,
      )
    case 'ENOTDIR':
    case 'EEXIST':
      return wrongSetting(`${folder} in TIDE_DATA is no folder: remove it, or set another TIDE_DATA`)
    case 'ENOSPC':
    case 'EDQUOT':
      return temporaryTrouble(
        `the disk of the folder ${folder} in TIDE_DATA is full: free space, or set another TIDE_DATA`,
      )
    default:
      return null
  }
}
