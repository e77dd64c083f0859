// The name of a file as it is shown. Invariant: a shown name is one line without folders, controls or marks that change
// the direction of text, at most 255 characters, and never used as a key or a path.

/** In code points. */
export const maxFileName = 255

/** Extensions up to this length survive the cut of a long name. */
const maxExtension = 20

/**
 * Controls, line and paragraph separators, and format characters: overrides of direction make `gpj.exe` read as
 * `exe.jpg`. Joiners stay, which emoji and several scripts are written with.
 */
const unshown = /[\p{Cc}\p{Zl}\p{Zp}\p{Co}\p{Cn}]|(?![\u200c\u200d])\p{Cf}/gu

/** The name to show for any text that a client sent; `file` where nothing of it can be shown. */
export const shownFileName = (given: string): string => {
  const last = given.toWellFormed().split(/[/\\]/).at(-1)!
  const text = last
    .normalize('NFC')
    .replaceAll(unshown, '')
    .trim()
    .replace(/[. ]+$/, '')
  return isShown(text) ? shortened(text) : 'file'
}

const isShown = (text: string): boolean => /[^\p{White_Space}\p{DI}]/u.test(text)

const shortened = (text: string): string => {
  const characters = Array.from(text)
  if (characters.length <= maxFileName) return text
  const extension = Array.from(extensionIn(text))
  return [...characters.slice(0, maxFileName - extension.length), ...extension].join('')
}

/** With its dot; empty where there is none. */
const extensionIn = (name: string): string =>
  new RegExp(String.raw`.(\.[^.\s]{1,${maxExtension}})$`, 'u').exec(name)?.[1] ?? ''

/** In lower case, with its dot; empty where there is none. */
export const extensionOf = (name: string): string => extensionIn(name).toLowerCase()

/** The value of `Content-Disposition` of a download: a plain name for old clients, and the whole one by RFC 5987. */
export const attachmentDisposition = (name: string): string => {
  const plain = name.replaceAll(/[^\x20-\x7e]/gu, '_').replaceAll(/["\\%]/g, '_')
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*!]/g,
    (character) => `%${character.codePointAt(0)!.toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
