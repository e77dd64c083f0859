// Why a running process cannot use a part or a folder, as one sentence: the setting and the cure. Invariant: no address and
// no other value of a setting, because readiness shows it to everyone.
import { tlsCodes } from './failure.ts'

/** What the network answers between here and a part, by the code of the error; null where it is something else. */
export const networkTrouble = (code: string, setting: string, part: string): string | null => {
  if (code === 'ENOTFOUND') return `${setting} names a host that is unknown: correct the name`
  if (code === 'EAI_AGAIN') return `${setting} names a host, and the name server does not answer`
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' || code === 'HOSTNAME_MISMATCH')
    return `${setting}: the certificate of ${part} is made out to another name: use that name`
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID')
    return `${setting}: the certificate of ${part} has expired: renew it`
  if (tlsCodes.test(code))
    return `${setting}: the certificate of ${part} is signed by an authority that is not trusted: name the file of the authority in NODE_EXTRA_CA_CERTS`
  if (code === 'ECONNREFUSED')
    return `${setting}: nothing listens there: start ${part}, or correct the host and the port`
  if (/^(?:ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|EHOSTDOWN)$/.test(code))
    return `${setting}: ${part} does not answer: check that it runs, the address, and firewalls between`
  return null
}

/** What a folder below `TIDE_DATA` meets, by the code of the error; null where it is something else. */
export const folderTrouble = (code: string, folder: string): string | null => {
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `this user may not write to the folder ${folder} in TIDE_DATA: give it the rights, or set another TIDE_DATA`
    case 'EROFS':
      return `the folder ${folder} in TIDE_DATA is on a read-only file system: set another TIDE_DATA`
    case 'ENOTDIR':
    case 'EEXIST':
      return `${folder} in TIDE_DATA is no folder: remove it, or set another TIDE_DATA`
    case 'ENOSPC':
    case 'EDQUOT':
      return `the disk of the folder ${folder} in TIDE_DATA is full: free space, or set another TIDE_DATA`
    default:
      return null
  }
}
