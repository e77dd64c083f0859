// Which consumer gave up on which entry of the log, and how people write it.

export interface DeadLetterId {
  consumer: string
  shard: number
  seq: number
}

/** Of `<consumer>/<shard>.<seq>`, also with a space, as lists show it; null for other text. */
export const parseDeadLetterId = (text: string): DeadLetterId | null => {
  const [, consumer, shard, seq] = /^([\w.-]+)[/ ](\d{1,2})\.(\d{1,15})$/.exec(text) ?? []
  return consumer === undefined ? null : { consumer, shard: Number(shard), seq: Number(seq) }
}
