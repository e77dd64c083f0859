// Which addresses mails are sent to. Accounts may hold any text as their address; one that a mail library or a server
// could read as two, as a comment or as a header is sent nothing.

const localPart = /^[^\s\p{C}"(),:;<>@[\\\]]{1,64}$/u
/** One label of a domain; letters of any script, for international domains. */
const label = /^[\p{L}\p{N}](?:[\p{L}\p{M}\p{N}-]{0,61}[\p{L}\p{M}\p{N}])?$/u

export const isMailAddress = (text: string): boolean => {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > 254 || !localPart.test(text.slice(0, at))) return false
  return text
    .slice(at + 1)
    .split('.')
    .every((part) => label.test(part))
}
