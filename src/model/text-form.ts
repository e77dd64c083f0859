// Normalisation of text. Text is stored and compared in NFC; search, tag equality and the order of titles use its
// folding. Pure functions without imports, so that server, worker and client share them.

/** The stored form of titles and names: NFC, trimmed. */
export const canonicalText = (text: string): string => text.normalize('NFC').trim()

/** The stored form of descriptions and comments: NFC. White space at an edge is content: Markdown may begin indented. */
export const composedText = (text: string): string => text.normalize('NFC')

/** The form in which e-mail addresses are stored, compared and counted: NFC, lower case, trimmed. Not validated. */
export const canonicalEmail = (email: string): string => canonicalText(canonicalText(email).toLowerCase())

/** The form in which earlier versions stored an address; an account may still have it. */
export const earlierEmail = (email: string): string => email.trim().toLowerCase()

/** The stored form of a tag: NFC, lower case, trimmed. Tags with the same `tagKey` are equal. */
export const canonicalTag = (tag: string): string => canonicalText(canonicalText(tag).toLowerCase())

/** Whether the text has a character that is not white space, a control or default-ignorable. */
export const isVisible = (text: string): boolean => /[^\p{White_Space}\p{Cc}\p{DI}]/u.test(text)

/** Whether a URL parser removes the text from a path: `.` and `..`, also percent-encoded. */
export const isDotSegment = (text: string): boolean => /^(?:\.|%2e){1,2}$/i.test(fold(text))

const printableAscii = /^[\x20-\x7e]*$/

/**
 * The form of a text for comparison: compatibility decomposition (NFKD) without marks, full case folding, ß as ss, ς as
 * σ, without invisible characters. Idempotent, and equal for NFC, NFD and any case of the same text. It converts to
 * upper case in between, because JavaScript has no case folding and `toLowerCase` alone does not map ß, ﬁ and ı to the
 * same text as their capitals.
 */
export const fold = (text: string): string => {
  if (printableAscii.test(text)) return text.toLowerCase().trim()
  const cased = text.normalize('NFKD').toLowerCase().toUpperCase().toLowerCase()
  return cased
    .normalize('NFKD')
    .replaceAll(/[\p{M}\p{DI}]|(?!\p{White_Space})\p{Cc}/gu, '')
    .replaceAll('ς', 'σ')
    .trim()
}

/** Longest key in code points: 200 are at most 800 bytes, and a lexeme in PostgreSQL has at most 2,046. */
const maxKeyLength = 200

const cutKey = (folded: string): string =>
  folded.length <= maxKeyLength ? folded : Array.from(folded).slice(0, maxKeyLength).join('')

/** The key that decides equality of tags: the folding, or the canonical tag where the folding is empty (a mark alone). */
export const tagKey = (tag: string): string => cutKey(fold(tag) || canonicalTag(tag))

/** The sort key of titles: the folding, ordered by code points. */
export const titleKey = (title: string): string => cutKey(fold(title))

/** The key by which people are searched and ordered: the folding of the name. */
export const nameKey = (name: string): string => cutKey(fold(name))

/** Tags in their stored form, without repeats: the first of equal tags stays. */
export const mergedTags = (tags: readonly string[]): string[] => {
  const byKey = new Map<string, string>()
  for (const tag of tags.map(canonicalTag)) if (!byKey.has(tagKey(tag))) byKey.set(tagKey(tag), tag)
  return [...byKey.values()]
}

/** Created on first use: a client never splits words, and its browser may lack it. */
let segmenter: Intl.Segmenter | undefined

/** Characters that always separate words, so that `app` finds src/app.ts; UAX #29 keeps some of them in words. */
const separators = /[\p{P}$+<=>^`|~\u200b]/gu

/** Joined emoji are split, so that a search for each of them finds the text. */
const joinedEmoji = /(\p{Extended_Pictographic}[\p{M}\p{Emoji_Modifier}]*)\u200d/gu

const hasWord = /[\p{L}\p{N}\p{Extended_Pictographic}\p{RI}]/u

/**
 * The folded words of a text, each once, in order of first occurrence, separated by punctuation and `Intl.Segmenter`.
 * An emoji is a word. Words are cut at 200 code points.
 */
export const wordsOf = (text: string): string[] => {
  if (printableAscii.test(text)) return unique(text.toLowerCase().match(/[a-z0-9]+/g) ?? [])
  const spaced = text.normalize('NFKC').replaceAll(separators, ' ').replaceAll(joinedEmoji, '$1 ')
  segmenter ??= new Intl.Segmenter('und', { granularity: 'word' })
  return unique(
    Array.from(segmenter.segment(spaced), ({ segment }) => fold(segment)).filter((word) =>
      hasWord.test(word),
    ),
  )
}

const unique = (words: string[]): string[] => [...new Set(words.filter(Boolean).map(cutKey))]

/** The number of words of a search that are used. */
export const maxSearchWords = 8

/** The words of a search, each a prefix. Empty where the text has no word. */
export const searchWordsOf = (text: string): string[] => wordsOf(text).slice(0, maxSearchWords)
