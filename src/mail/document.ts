// The content of a mail before it is HTML and plain text: both are rendered from it, so that they always say the same.

/**
 * Words of the product, and texts that people chose (`theirs`), which are shown in bold, titles in quotes where there is
 * no bold.
 */
export type Sentence = readonly (string | { theirs: string; isTitle?: boolean })[]

/** One notice as a card. */
export interface Card {
  /** What kind of notice it is, in one or two words; null where the title says it. */
  label: string | null
  tone: 'calm' | 'good' | 'urgent'
  sentence: Sentence
  /** The text of a comment; null for none. */
  quote: string | null
  /** Small print: time, project. */
  detail: readonly string[]
}

export type Block =
  | { kind: 'text'; sentence: Sentence }
  | { kind: 'small'; sentence: Sentence }
  | { kind: 'button'; label: string; url: string }
  | { kind: 'cards'; cards: readonly Card[] }

export interface MailDocument {
  subject: Sentence
  /** The line that mail programs show behind the subject. */
  preview: Sentence
  title: string
  blocks: readonly Block[]
  /** Why the reader receives this mail. */
  reason: string
  links: readonly { label: string; url: string }[]
}

/** What a driver needs of a template. */
export interface RenderedMail {
  subject: string
  text: string
  html: string
}
