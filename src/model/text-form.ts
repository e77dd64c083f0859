// The one form of text. Text is stored and compared in NFC; search, tag equality and the order of titles compare
// its folding. Pure functions without imports, so that server, worker and client use the same.

/** Text as it is stored: NFC, without white space around it. */
export const canonicalText = (text: string): string => text.normalize('NFC').trim()

/** An e-mail address as it is stored, compared and counted: NFC, lower case, trimmed. It is not validated. */
export const canonicalEmail = (email: string): string => canonicalText(canonicalText(email).toLowerCase())

/** The form in which earlier versions stored an address; an account may still have it. */
export const earlierEmail = (email: string): string => email.trim().toLowerCase()

/** A tag as it is stored: NFC, lower case, trimmed. Tags are equal when their `tagKey` is. */
export const canonicalTag = (tag: string): string => canonicalText(canonicalText(tag).toLowerCase())

/** Whether there is more in it than white space, controls and default-ignorable characters. */
export const isVisible = (text: string): boolean => /[^\p{White_Space}\p{Cc}\p{DI}]/u.test(text)

/** Whether a URL parser removes the text from a path instead of sending it: `.`, `..`, also percent-encoded. */
export const isDotSegment = (text: string): boolean => /^(?:\.|%2e){1,2}$/i.test(fold(text))

const printableAscii = /^[\x20-\x7e]*$/

/**
 * What is compared in place of the text: compatibility decomposition (NFKD) without marks, full case folding, ß as
 * ss, ς as σ; invisible characters are dropped. Idempotent; equal for NFC, NFD and any case of the same text. Upper
 * case is taken on the way, because JavaScript has no case folding and `toLowerCase` keeps ß, ﬁ and ı apart from
 * what they are in capitals.
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

/** Code points of a folding that are kept: 200 are at most 800 bytes, PostgreSQL's indexes take 2,046. */
const maxKeyLength = 200

const cutKey = (folded: string): string =>
  folded.length <= maxKeyLength ? folded : Array.from(folded).slice(0, maxKeyLength).join('')

/** What tags are equal by: the folding, or the canonical tag where nothing is left of it (a mark alone). */
export const tagKey = (tag: string): string => cutKey(fold(tag) || canonicalTag(tag))

/** What titles are ordered by: the folding, by code points. */
export const titleKey = (title: string): string => cutKey(fold(title))

/** Tags as they are stored. Of those that are equal by their folding the first stays. */
export const mergedTags = (tags: readonly string[]): string[] => {
  const byKey = new Map<string, string>()
  for (const tag of tags.map(canonicalTag)) if (!byKey.has(tagKey(tag))) byKey.set(tagKey(tag), tag)
  return [...byKey.values()]
}

/** Made by the first use: a client never cuts words, and its browser may lack it. */
let segmenter: Intl.Segmenter | undefined

/** Separates words wherever it stands, so that `app` finds src/app.ts; UAX #29 alone would keep it in the word. */
const separators = /[\p{P}$+<=>^`|~\u200b]/gu

/** Emoji that are joined to one sign are found by each of them. */
const joinedEmoji = /(\p{Extended_Pictographic}[\p{M}\p{Emoji_Modifier}]*)\u200d/gu

const hasWord = /[\p{L}\p{N}\p{Extended_Pictographic}\p{RI}]/u

/**
 * The words of a text, folded, each once, in the order they first occur: what punctuation and `Intl.Segmenter`
 * separate. An emoji is a word. A word longer than 200 code points ends there.
 */
export const wordsOf = (text: string): string[] => {
  if (printableAscii.test(text)) return unique(text.toLowerCase().split(/[^a-z0-9]+/))
  const spaced = text.normalize('NFKC').replaceAll(separators, ' ').replaceAll(joinedEmoji, '$1 ')
  segmenter ??= new Intl.Segmenter('und', { granularity: 'word' })
  return unique(
    Array.from(segmenter.segment(spaced), ({ segment }) => fold(segment)).filter((word) =>
      hasWord.test(word),
    ),
  )
}

const unique = (words: string[]): string[] => [...new Set(words.filter(Boolean).map(cutKey))]

/** How many words of a search are used. */
export const maxSearchWords = 8

/** The words a search asks for; each is a prefix. Empty where the text has no word. */
export const searchWordsOf = (text: string): string[] => wordsOf(text).slice(0, maxSearchWords)
