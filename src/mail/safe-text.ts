// Text that people chose, made harmless for mails: names, titles. Invariant: the result is one line without characters
// that end a header, hide text or turn its direction around.

/** C0 and C1 controls, line and paragraph separators. */
// oxlint-disable-next-line no-control-regex -- controls are what it finds
const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g

/** Overrides, embeddings, isolates and marks of direction: text after them would read backwards. */
const directions = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g

/** Zero-width and other invisible characters with which a text can pretend to be another. */
const invisible = /[\u00ad\u115f\u1160\u180e\u200b\u2060-\u2064\u206a-\u206f\ufeff\ufff9-\ufffb]/g

const oneLine = (text: string): string =>
  text.replace(controls, ' ').replace(directions, '').replace(invisible, '').replace(/\s+/g, ' ').trim()

const cut = (text: string, maxLength: number): string => {
  const characters = Array.from(text)
  return characters.length > maxLength ? `${characters.slice(0, maxLength - 1).join('')}…` : text
}

/** One line of at most 200 characters, the rest as an ellipsis. */
export const lineText = (text: string): string => cut(oneLine(text), 200)

/** For a subject: shorter, because mail programs cut it. */
export const headerText = (text: string): string => cut(oneLine(text), 120)

const entities: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** For element content and quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => entities[character]!)

const maxQuoteLines = 8
const maxQuoteLength = 600

/** The beginning of a longer text, line by line. */
export const quoteLines = (text: string): string[] => {
  const lines = cut(text, maxQuoteLength)
    .split(/\r\n|[\r\n\u2028\u2029]/)
    .map(oneLine)
    .filter((line) => line !== '')
  return lines.length > maxQuoteLines ? [...lines.slice(0, maxQuoteLines - 1), '…'] : lines
}
