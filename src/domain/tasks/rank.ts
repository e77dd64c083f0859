// Ranks: base-62 fractional keys compared by bytes. A key is an integer part, whose first digit encodes its length
// (a..z: 2..27 digits, Z..A: the negative ones), and a fraction that never ends in 0, so that a further key exists
// between any two different keys. New keys end in random digits: two concurrent inserts into the same place get
// different keys.

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const randomDigits = 3

/** The most tasks after the insertion point that get new ranks to make room. */
export const maxFollowers = 600

/**
 * A key strictly between two keys.
 * @param before the lower key, null for the start. @param after the upper key, null for the end.
 */
export const rankBetween = (before: string | null, after: string | null): string => {
  if (before !== null && after !== null && before >= after) throw new RangeError('ranks are not ascending')
  if (before === null && after === null) return `a0${jitter()}`
  if (after === null) return `${increment(integerOf(before!))}${jitter()}`
  if (before === null) return `${decrement(integerOf(after))}${jitter()}`
  const [low, high] = [integerOf(before), integerOf(after)]
  if (low !== high) {
    const next = increment(low)
    if (next !== high) return `${next}${jitter()}`
  }
  return `${low}${fractionBetween(before.slice(low.length), low === high ? after.slice(high.length) : null)}`
}

/** `count` ascending keys strictly between two keys, about equally far apart. */
export const ranksBetween = (before: string | null, after: string | null, count: number): string[] => {
  if (count === 0) return []
  const middle = rankBetween(before, after)
  const left = Math.floor((count - 1) / 2)
  return [...ranksBetween(before, middle, left), middle, ...ranksBetween(middle, after, count - 1 - left)]
}

/** Repeated inserts at one place make keys longer. A key of this length or more gives its followers new ranks, */
const longRank = 60

/** until the keys are at most this long, so that the next inserts need no such step. */
const shortRank = 24

export interface Room {
  rank: string
  /** New ranks of the first followers. Empty unless ranks are equal or too long. */
  pushed: string[]
}

/**
 * A key above `before` and below the first of its followers, whose ranks ascend but may be equal. Naively every insert
 * would take a key between its neighbours: equal ranks leave no such key, and repeated inserts at one place make keys
 * longer without end. So followers get new ranks where needed: first those equal to `before`, then twice as many in
 * each round, until keys are short again. Null where all `followers` are equal and there are more (`isAll` false).
 */
export const makeRoom = (before: string | null, followers: string[], isAll: boolean): Room | null => {
  const equal = followers.findIndex((rank) => before === null || rank > before)
  let moving = equal === -1 ? followers.length : equal
  let best: { room: Room; length: number } | null = null
  for (let enough = longRank; moving < followers.length + Number(isAll); moving = moving * 2 + 1) {
    const [rank, ...pushed] = ranksBetween(before, followers[moving] ?? null, moving + 1)
    const length = Math.max(rank!.length, ...pushed.map((key) => key.length))
    if (!best || length < best.length) best = { room: { rank: rank!, pushed }, length }
    if (length <= enough) break
    enough = shortRank
  }
  return best && best.room
}

const valueOf = (text: string, index: number): number =>
  index < text.length ? digits.indexOf(text[index]!) : 0

/** Drawn many at a time. */
const random = new Uint32Array(256)
let drawn = random.length

const nextRandom = (): number => {
  if (drawn === random.length) {
    crypto.getRandomValues(random)
    drawn = 0
  }
  drawn += 1
  return random[drawn - 1]!
}

const jitter = (): string => {
  let text = ''
  for (let index = 1; index < randomDigits; index += 1) text += digits[nextRandom() % 62]
  // The last is never 0: that would be the same fraction as without it.
  return text + digits[1 + (nextRandom() % 61)]
}

/** The digits of the fraction go on from the first place where there is room between the two. */
const fractionBetween = (low: string, high: string | null): string => {
  for (let index = 0; ; index += 1) {
    const from = valueOf(low, index)
    const to = high === null ? digits.length : valueOf(high, index)
    if (to - from > 1) {
      return `${pad(low, index)}${digits[Math.ceil((from + to) / 2)]}${jitter()}`
    }
    if (to === from) {
      if (high !== null && index > Math.max(low.length, high.length)) throw new RangeError('no rank between')
      continue
    }
    // Neighbouring digits: keep the lower one and go above what follows it.
    return `${pad(low, index + 1)}${fractionBetween(low.slice(index + 1), null)}`
  }
}

const pad = (text: string, length: number): string => text.slice(0, length).padEnd(length, '0')

const integerOf = (key: string): string => {
  const head = key.codePointAt(0)!
  const length = head >= 97 ? head - 97 + 2 : 90 - head + 2
  return key.slice(0, length).padEnd(length, '0')
}

const increment = (integer: string): string => {
  const tail = integer.slice(1)
  const place = tail.search(/[^z]z*$/)
  if (place >= 0)
    return `${integer[0]}${tail.slice(0, place)}${digits[digits.indexOf(tail[place]!) + 1]}${'0'.repeat(tail.length - place - 1)}`
  if (integer[0] === 'Z') return 'a0'
  const head = String.fromCodePoint(integer.codePointAt(0)! + 1)
  if (head === '{') throw new RangeError('no rank above')
  return `${head}${'0'.repeat(head > 'a' ? tail.length + 1 : tail.length - 1)}`
}

const decrement = (integer: string): string => {
  const tail = integer.slice(1)
  const place = tail.search(/[^0]0*$/)
  if (place >= 0)
    return `${integer[0]}${tail.slice(0, place)}${digits[digits.indexOf(tail[place]!) - 1]}${'z'.repeat(tail.length - place - 1)}`
  if (integer[0] === 'a') return 'Zz'
  const head = String.fromCodePoint(integer.codePointAt(0)! - 1)
  if (head === '@') throw new RangeError('no rank below')
  return `${head}${'z'.repeat(head < 'Z' ? tail.length + 1 : tail.length - 1)}`
}
