// TCP ports of 127.0.0.1 without a listener. Another program may take one before its user binds it, so
// the user chooses again when binding fails.

export const freePort = (): number => {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = listener
  listener.stop(true)
  return port
}

/** Whether `port` of `hostname` can be bound now. */
export const isFree = (port: number, hostname?: string): boolean => listenError(port, hostname) === null

/** Why `port` of `hostname` cannot be bound now: a system error; null where it can. */
export const listenError = (port: number, hostname = '127.0.0.1'): unknown => {
  try {
    Bun.listen({ hostname, port, socket: { data() {} } }).stop(true)
    return null
  } catch (error) {
    return error
  }
}
